//! Long tables: only the rows in sight are in the document.
//!
//! Rows have a fixed height. The scrolled content is as high as all rows would be, up to a limit that every browser
//! can lay out; above it a pixel of the scroll bar stands for more than a pixel of rows.

use yew::prelude::*;

use super::dom::set_height;

/// Browsers lay out some 17 million pixels at most; this stays well below.
const CONTENT_PX_MAX: u64 = 12_000_000;

/// Rows kept above and below the visible ones, so that a small scroll shows no gap.
const OVERSCAN_ROWS: u64 = 8;

/// Rows that a table asks for before it knows how high it is.
pub(super) const FIRST_ROWS: u64 = 30;

/// A table of `rows` rows of `row_px` pixels behind a viewport of `viewport_px` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scroll {
    /// Rows in the table.
    pub rows: u64,
    /// Height of a row.
    pub row_px: u64,
    /// Height of the part in sight.
    pub viewport_px: u64,
}

impl Scroll {
    /// The height of the scrolled content.
    pub(super) fn content_px(self) -> u64 {
        self.rows.saturating_mul(self.row_px).min(CONTENT_PX_MAX)
    }

    /// The first row in sight at a position of the scroll bar.
    pub(super) fn first_visible(self, scroll_top: u64) -> u64 {
        if !self.is_scaled() {
            return (scroll_top / self.row_px).min(self.rows);
        }
        let way_px = self.content_px() - self.viewport_px.min(self.content_px());
        let last_first = self.rows - self.visible_rows().min(self.rows);
        (scroll_top.min(way_px) * last_first).checked_div(way_px).unwrap_or(0)
    }

    /// The rows to ask for at a position of the scroll bar: the first and how many.
    pub(super) fn wanted(self, scroll_top: u64) -> (u64, u64) {
        let first = self.first_visible(scroll_top).saturating_sub(OVERSCAN_ROWS);
        (first, self.visible_rows() + 2 * OVERSCAN_ROWS)
    }

    /// Whether rows `first..first + count` fill the sight at a position of the scroll bar.
    pub(super) fn is_covered(self, scroll_top: u64, first: u64, count: u64) -> bool {
        let visible = self.first_visible(scroll_top);
        first <= visible && (visible + self.visible_rows()).min(self.rows) <= first + count
    }

    /// Where the scroll bar stands and which row was first in sight when it was moved there. Rows that come later
    /// do not change it, so the sight stays still.
    pub(super) fn seen(self, scroll_top: u64) -> Seen {
        Seen { scroll_top, first_visible: self.first_visible(scroll_top) }
    }

    /// The empty heights above and below the rows `first..first + count`.
    pub(super) fn spaces(self, seen: Seen, first: u64, count: u64) -> (u64, u64) {
        let block_px = count * self.row_px;
        let above = if self.is_scaled() {
            let ahead_px = seen.first_visible.saturating_sub(first) * self.row_px;
            seen.scroll_top.saturating_sub(ahead_px)
        } else {
            first * self.row_px
        };
        let above = above.min(self.content_px().saturating_sub(block_px));
        (above, self.content_px().saturating_sub(above + block_px))
    }

    fn visible_rows(self) -> u64 {
        self.viewport_px.div_ceil(self.row_px)
    }

    fn is_scaled(self) -> bool {
        self.rows.saturating_mul(self.row_px) > CONTENT_PX_MAX
    }
}

/// A position of the scroll bar and what it showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The position.
    pub scroll_top: u64,
    /// The first row in sight there.
    pub first_visible: u64,
}

#[derive(Properties, PartialEq)]
pub(super) struct SpaceProps {
    pub px: u64,
    /// Columns of the table.
    pub columns: u8,
}

/// An empty row of a table that stands for all rows out of sight.
#[component]
pub(super) fn Space(props: &SpaceProps) -> Html {
    let cell = use_node_ref();
    {
        let cell = cell.clone();
        use_effect_with(props.px, move |px| set_height(&cell, *px));
    }
    html! { <tr class="space" aria-hidden="true"><td ref={cell} colspan={props.columns.to_string()}></td></tr> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_table_scrolls_pixel_by_pixel() {
        let scroll = Scroll { rows: 100_000, row_px: 32, viewport_px: 320 };
        assert_eq!(scroll.content_px(), 3_200_000);
        assert_eq!(scroll.first_visible(0), 0);
        assert_eq!(scroll.first_visible(3_200_000 - 320), 99_990);
        assert_eq!(scroll.wanted(3_200), (92, 26));
        assert_eq!(scroll.spaces(scroll.seen(3_200), 90, 30), (2_880, 3_200_000 - 2_880 - 960));
        assert!(scroll.is_covered(3_200, 90, 30));
        assert!(!scroll.is_covered(3_200, 101, 30));
        assert!(!scroll.is_covered(3_200, 90, 19));
    }

    #[test]
    fn a_huge_table_reaches_its_first_and_its_last_row() {
        let scroll = Scroll { rows: 4_000_000, row_px: 32, viewport_px: 320 };
        let end = scroll.content_px() - 320;
        assert_eq!(scroll.first_visible(0), 0);
        assert_eq!(scroll.first_visible(end), 4_000_000 - 10);
        let (above, below) = scroll.spaces(scroll.seen(end), 4_000_000 - 30, 30);
        assert_eq!(above + 960 + below, scroll.content_px(), "the content never changes its height");
        assert_eq!(below, 0);
        let seen = scroll.seen(end / 2);
        let more = Scroll { rows: 5_000_000, ..scroll };
        assert_eq!(
            more.spaces(seen, seen.first_visible, 30).0,
            seen.scroll_top,
            "rows that come later move nothing"
        );
    }

    #[test]
    fn an_empty_or_small_table_has_no_space() {
        let scroll = Scroll { rows: 0, row_px: 32, viewport_px: 320 };
        assert_eq!(scroll.spaces(Seen::default(), 0, 0), (0, 0));
        let scroll = Scroll { rows: 3, row_px: 32, viewport_px: 320 };
        assert!(scroll.is_covered(0, 0, 3));
        assert_eq!(scroll.spaces(Seen::default(), 0, 3), (0, 0));
    }
}

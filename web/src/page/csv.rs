//! Loading CSV files of accounts and transfers.

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Blob, ReadableStream, ReadableStreamDefaultReader, ReadableWritablePair, SubmitEvent, WritableStream,
};
use yew::prelude::*;

use super::dom::text_of;
use super::files::chosen_file;
use super::format::bytes;
use super::state::{Action, Part};
use crate::amount::{SCALE_MAX, grouped};
use crate::protocol::{CsvMapping, CsvNotice, FileHandle, Request};

/// Enough for a header line.
const HEADER_BYTES_MAX: f64 = 65_536.0;

#[derive(Properties, PartialEq)]
pub(super) struct LoadCsvProps {
    pub notice: Part<Option<CsvNotice>>,
    pub can_act: bool,
    pub ask: Callback<Request>,
    pub tell: Callback<Action>,
}

#[wasm_bindgen]
extern "C" {
    /// Bound by hand: every browser has it, web-sys still keeps it unstable.
    type DecompressionStream;

    #[wasm_bindgen(constructor, catch)]
    fn new(format: &str) -> Result<DecompressionStream, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn readable(this: &DecompressionStream) -> ReadableStream;
    #[wasm_bindgen(method, getter)]
    fn writable(this: &DecompressionStream) -> WritableStream;
}

/// A chosen file with the columns of its header.
#[derive(Clone, Debug, PartialEq)]
struct Chosen {
    file: FileHandle,
    columns: Vec<String>,
}

/// The form that loads CSV files.
#[component]
pub(super) fn LoadCsv(props: &LoadCsvProps) -> Html {
    let accounts = use_state_eq(|| None::<Chosen>);
    let transfers = use_state_eq(|| None::<Chosen>);
    let mapping = use_state_eq(CsvMapping::default);
    let scale = use_state_eq(|| "2".to_owned());
    let scale_number = scale.trim().parse::<u8>().ok().filter(|scale| *scale <= SCALE_MAX);
    let onsubmit = {
        let (accounts, transfers, mapping) = (accounts.clone(), transfers.clone(), mapping.clone());
        let (ask, tell) = (props.ask.clone(), props.tell.clone());
        move |event: SubmitEvent| {
            event.prevent_default();
            if let (Some(transfers), Some(scale)) = (transfers.as_ref(), scale_number) {
                tell.emit(Action::CsvSent);
                ask.emit(Request::LoadCsv {
                    accounts: accounts.as_ref().map(|chosen| chosen.file.clone()),
                    transfers: transfers.file.clone(),
                    mapping: CsvMapping::clone(&mapping),
                    scale,
                });
            }
        }
    };
    let set_scale = {
        let scale = scale.clone();
        move |event: InputEvent| scale.set(text_of(&event))
    };
    let ready = props.can_act && transfers.is_some() && scale_number.is_some();
    html! {
        <section class="card load-csv" aria-labelledby="load-csv-title">
            <div class="card-head">
                <h2 id="load-csv-title">{ "Load CSV files" }</h2>
                <p class="hint">{ "Real transfers through the same pipeline. The id of a row comes from the file: loading it twice changes nothing. Files may be gzipped." }</p>
            </div>
            <form data-testid="load-csv" {onsubmit}>
                <fieldset><legend>{ "Accounts" }</legend>
                    { file_field("File", "csv-accounts", &accounts) }
                    { column_field("Name", &accounts, &mapping, |m| &m.account, |m, text| m.account = text) }
                    { column_field("Opening balance", &accounts, &mapping, |m| &m.opening_balance, |m, text| m.opening_balance = text) }
                </fieldset>
                <fieldset><legend>{ "Transfers" }</legend>
                    { file_field("File", "csv-transfers", &transfers) }
                    { column_field("From", &transfers, &mapping, |m| &m.from_account, |m, text| m.from_account = text) }
                    { column_field("To", &transfers, &mapping, |m| &m.to_account, |m, text| m.to_account = text) }
                    { column_field("Amount", &transfers, &mapping, |m| &m.amount, |m, text| m.amount = text) }
                    <label class="field short"><span>{ "Decimals" }</span>
                        <input data-testid="csv-scale" inputmode="numeric" autocomplete="off" value={(*scale).clone()}
                            aria-invalid={scale_number.is_none().then_some("true")} oninput={set_scale} /></label>
                </fieldset>
                <div class="csv-go">
                    <button type="submit" class="primary" data-testid="csv-load" disabled={!ready}>{ "Load" }</button>
                    { notice(props.notice.as_ref()) }
                </div>
            </form>
        </section>
    }
}

fn file_field(label: &'static str, hook: &'static str, chosen: &UseStateHandle<Option<Chosen>>) -> Html {
    let onchange = {
        let chosen = chosen.clone();
        move |event: Event| {
            let file = chosen_file(&event);
            let chosen = chosen.clone();
            spawn_local(async move {
                let Some(file) = file else { return chosen.set(None) };
                let columns = columns(&file).await.unwrap_or_default();
                chosen.set(Some(Chosen { file, columns }));
            });
        }
    };
    html! {
        <label class="field file"><span>{ label }</span>
            <input type="file" accept=".csv,.gz" data-testid={hook} {onchange} /></label>
    }
}

/// The name of a column: free text until the file's header is known, then one of its columns.
fn column_field(
    label: &'static str,
    chosen: &UseStateHandle<Option<Chosen>>,
    mapping: &UseStateHandle<CsvMapping>,
    value: fn(&CsvMapping) -> &String,
    set: fn(&mut CsvMapping, String),
) -> Html {
    let current = value(mapping).clone();
    let change = {
        let mapping = mapping.clone();
        move |text: String| {
            let mut next = CsvMapping::clone(&mapping);
            set(&mut next, text);
            mapping.set(next);
        }
    };
    let columns = chosen.as_ref().map_or([].as_slice(), |chosen| chosen.columns.as_slice());
    if columns.is_empty() {
        return html! {
            <label class="field"><span>{ label }</span>
                <input autocomplete="off" spellcheck="false" value={current} oninput={move |event: InputEvent| change(text_of(&event))} /></label>
        };
    }
    let known = columns.contains(&current);
    html! {
        <label class="field"><span>{ label }</span>
            <select aria-invalid={(!known).then_some("true")} onchange={move |event: Event| change(text_of(&event))}>
                if !known { <option value={current.clone()} selected={true}>{ format!("{current}?") }</option> }
                { for columns.iter().map(|column| html! {
                    <option value={column.clone()} selected={*column == current}>{ column }</option>
                }) }
            </select></label>
    }
}

fn notice(notice: Option<&CsvNotice>) -> Html {
    match notice {
        None => Html::default(),
        Some(CsvNotice::Progress { file, rows, bytes: read, bytes_total }) => html! {
            <p class="small" data-testid="csv-notice">
                <progress max={bytes_total.to_string()} value={read.to_string()} aria-label={format!("Loading {file}")}></progress>
                { format!("{file}: {} rows, {} of {}", grouped(*rows), bytes(*read), bytes(*bytes_total)) }
            </p>
        },
        Some(CsvNotice::Done { accounts, transfers, completed, refused, known }) => html! {
            <p class="small good" data-testid="csv-notice">
                { format!(
                    "Loaded {} accounts and {} transfers: {} rows completed, {} were refused.",
                    grouped(*accounts), grouped(*transfers), grouped(*completed), grouped(*refused)
                ) }
                if *known > 0 { { format!(" {} rows were known already and changed nothing.", grouped(*known)) } }
            </p>
        },
        Some(CsvNotice::Error { file, line, message }) => html! {
            <p class="wrong" data-testid="csv-notice">{ format!("{file}, line {line}: {message}") }</p>
        },
    }
}

/// The columns of a file's first line.
async fn columns(file: &FileHandle) -> Result<Vec<String>, JsValue> {
    let text = if file.name.ends_with(".gz") {
        first_text(&file.blob).await?
    } else {
        let head = file.blob.slice_with_f64_and_f64(0.0, HEADER_BYTES_MAX)?;
        JsFuture::from(head.text()).await?.as_string().unwrap_or_default()
    };
    Ok(header_columns(&text))
}

/// The first chunk of text in a gzipped file.
async fn first_text(blob: &Blob) -> Result<String, JsValue> {
    let gunzip = DecompressionStream::new("gzip")?;
    let pair = ReadableWritablePair::new(&gunzip.readable(), &gunzip.writable());
    let stream: ReadableStream = blob.stream().pipe_through(&pair);
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let chunk = JsFuture::from(reader.read()).await?;
    let bytes = Reflect::get(&chunk, &JsValue::from_str("value"))?.dyn_into::<Uint8Array>()?.to_vec();
    // The rest is not wanted; whether the browser is still reading it makes no difference.
    let _ = reader.cancel();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn header_columns(text: &str) -> Vec<String> {
    let line = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    line.split(',')
        .map(|column| column.trim().trim_matches('"').to_owned())
        .filter(|column| !column.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_the_columns() {
        assert_eq!(header_columns("\u{feff}a, \"b c\" ,d\r\n1,2,3\r\n"), ["a", "b c", "d"]);
        assert_eq!(header_columns(""), Vec::<String>::new());
    }
}

//! The log as a file: export in either form, import with verification.

use wasm_bindgen::JsCast;
use web_sys::{Event, HtmlAnchorElement, HtmlDialogElement, HtmlInputElement, Url};
use yew::prelude::*;

use crate::amount::grouped;
use crate::protocol::{FileHandle, LogForm, Request};

/// Offers a file as a download.
pub(super) fn offer_download(file: &FileHandle) {
    let Some(document) = web_sys::window().and_then(|window| window.document()) else { return };
    let Ok(url) = Url::create_object_url_with_blob(&file.blob) else { return };
    if let Some(anchor) =
        document.create_element("a").ok().and_then(|element| element.dyn_into::<HtmlAnchorElement>().ok())
    {
        anchor.set_href(&url);
        anchor.set_download(&file.name);
        anchor.click();
    }
    // The download holds the bytes by itself once it was started; a failure here only keeps memory until the tab ends.
    let _ = Url::revoke_object_url(&url);
}

/// The file that was just chosen.
pub(super) fn chosen_file(event: &Event) -> Option<FileHandle> {
    let input = event.target_dyn_into::<HtmlInputElement>()?;
    let file = input.files()?.get(0)?;
    Some(FileHandle { name: file.name(), blob: file.into() })
}

#[derive(Properties, PartialEq)]
pub(super) struct LogFileProps {
    pub sequence: u64,
    pub can_act: bool,
    pub notice: Option<AttrValue>,
    pub ask: Callback<Request>,
}

/// The card for export and import.
#[component]
pub(super) fn LogFile(props: &LogFileProps) -> Html {
    let import = use_state(|| None::<FileHandle>);
    let dialog = use_node_ref();
    {
        let dialog = dialog.clone();
        use_effect_with(import.is_some(), move |is_open| {
            let Some(element) = dialog.cast::<HtmlDialogElement>() else { return };
            if *is_open {
                // It fails only when the element has left the document.
                let _ = element.show_modal();
            } else {
                element.close();
            }
        });
    }
    let export = |form: LogForm| props.ask.reform(move |_: MouseEvent| Request::Export { form });
    let onchange = {
        let (import, ask, is_empty) = (import.clone(), props.ask.clone(), props.sequence == 0);
        move |event: Event| {
            let file = chosen_file(&event);
            if let Some(input) = event.target_dyn_into::<HtmlInputElement>() {
                // So that choosing the same file again is a change again.
                input.set_value("");
            }
            match file {
                Some(file) if is_empty => ask.emit(Request::Import { file }),
                other => import.set(other),
            }
        }
    };
    html! {
        <section class="card log-file" aria-labelledby="log-file-title">
            <div class="card-head"><h2 id="log-file-title">{ "Log file" }</h2></div>
            <p class="hint">{ "One file, two forms that turn into each other byte for byte. Replay it anywhere: the digest is the same." }</p>
            <div class="buttons left">
                <button type="button" data-testid="export-binary" disabled={props.sequence == 0} onclick={export(LogForm::Binary)}>
                    { "Export binary" }</button>
                <button type="button" data-testid="export-jsonl" disabled={props.sequence == 0} onclick={export(LogForm::JsonLines)}>
                    { "Export JSON Lines" }</button>
            </div>
            <label class="field file"><span>{ "Import a log" }</span>
                <input type="file" data-testid="import" disabled={!props.can_act} {onchange} /></label>
            if let Some(notice) = &props.notice { <p class="small" data-testid="file-notice">{ notice }</p> }
            <ImportDialog {dialog} {import} sequence={props.sequence} ask={props.ask.clone()} />
        </section>
    }
}

#[derive(Properties, PartialEq)]
struct ImportDialogProps {
    dialog: NodeRef,
    import: UseStateHandle<Option<FileHandle>>,
    sequence: u64,
    ask: Callback<Request>,
}

/// Asks before an import takes the place of a log.
#[component]
fn ImportDialog(props: &ImportDialogProps) -> Html {
    let close = {
        let import = props.import.clone();
        Callback::from(move |()| import.set(None))
    };
    let confirm = {
        let (import, ask) = (props.import.clone(), props.ask.clone());
        move |_: MouseEvent| {
            if let Some(file) = import.as_ref() {
                ask.emit(Request::Import { file: file.clone() });
            }
            import.set(None);
        }
    };
    let name = props.import.as_ref().map_or_else(String::new, |file| file.name.clone());
    html! {
        <dialog ref={props.dialog.clone()} aria-labelledby="import-title" onclose={close.reform(|_: Event| ())}>
            <h2 id="import-title">{ "Replace the log?" }</h2>
            <p>{ format!("“{name}” is verified first. If it is whole, it takes the place of the present log with its {} records.", grouped(props.sequence)) }</p>
            <div class="buttons">
                <button type="button" onclick={close.reform(|_: MouseEvent| ())}>{ "Cancel" }</button>
                <button type="button" class="danger" data-testid="import-confirm" onclick={confirm}>{ "Verify and replace" }</button>
            </div>
        </dialog>
    }
}

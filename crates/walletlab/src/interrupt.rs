//! Ctrl-C as a flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether somebody pressed Ctrl-C, or the process got SIGINT, since [`Interrupt::listen`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    raised: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on the first Ctrl-C only raises the flag; a second one ends the process on the spot, which no log minds.
    pub(crate) fn listen() -> Interrupt {
        let interrupt = Interrupt::default();
        let raised = Arc::clone(&interrupt.raised);
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
                return;
            };
            runtime.block_on(async {
                let mut interrupts = listener();
                let _ = ready.send(());
                interrupts.recv().await;
                raised.store(true, Ordering::Relaxed);
                interrupts.recv().await;
                std::process::exit(1);
            });
        });
        // An interrupt that comes before the listener is there ends the process, as without it.
        let _ = is_ready.recv();
        interrupt
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }
}

#[cfg(unix)]
fn listener() -> tokio::signal::unix::Signal {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::interrupt()).expect("SIGINT can be listened to")
}

#[cfg(windows)]
fn listener() -> tokio::signal::windows::CtrlC {
    tokio::signal::windows::ctrl_c().expect("Ctrl-C can be listened to")
}

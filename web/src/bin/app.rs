//! The page's program: draws Wallet Lab into the element `app`.

fn main() {
    web::page::start();
}

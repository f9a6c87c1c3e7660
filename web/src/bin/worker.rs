//! The worker's program: runs the world and owns its log.

fn main() {
    web::worker::start();
}

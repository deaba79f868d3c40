//! Plans: one that is read is written again, and read again it is the same.

use recrate::stages::plan::Plan;

/// Drives it.
pub fn run(text: &str) {
    if let Ok(plan) = Plan::read(text) {
        let written = plan.to_json();
        let again = Plan::read(&written).expect("it was read before");
        assert_eq!(again.to_json(), written);
    }
}

use super::*;

fn slots() -> Slots {
    Slots { keys: vec![Vec::new(); SLOTS], occupied: vec![0; SLOTS / 64], next: 0 }
}

#[test]
fn slots_come_in_order_across_the_turn_of_the_wheel() {
    let mut slots = slots();
    slots.next = SLOTS as u64 - 3;
    let dues = [SLOTS as u64 + 5, SLOTS as u64 - 1, SLOTS as u64 - 3, SLOTS as u64 + 70];
    for (key, due) in dues.into_iter().enumerate() {
        assert_eq!(slots.enter(key, due), due);
    }
    let mut order = Vec::new();
    while let Some((tick, keys)) = slots.take_until(2 * SLOTS as u64) {
        order.extend(keys.iter().map(|(key, _)| *key));
        slots.give_back(tick, keys);
    }
    assert_eq!(order, [2, 1, 0, 3]);
}

#[test]
fn a_far_deadline_is_entered_at_the_end_of_the_turn() {
    let mut slots = slots();
    assert_eq!(slots.enter(0, 1_000_000), SLOTS as u64 - 1);
    assert_eq!(slots.first_occupied(), Some(SLOTS as u64 - 1));
}

#[test]
fn nothing_is_due_before_its_time() {
    let mut slots = slots();
    slots.enter(0, 10);
    assert!(slots.take_until(9).is_none());
    assert_eq!(slots.take_until(10).map(|(tick, _)| tick), Some(10));
    // A due time in the past fires at the next turn of the driver.
    assert_eq!(slots.enter(1, 3), 11);
}

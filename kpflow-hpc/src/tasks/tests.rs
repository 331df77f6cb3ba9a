use super::{batch, Batch, Description, ALL};

fn make(description: &Description, values: &[(&str, f64)]) -> Result<Box<dyn super::Task>, String> {
    let value = |p: &super::Parameter| values.iter().find(|v| v.0 == p.key).map_or(p.default, |v| v.1);
    let all: Vec<f64> = description.parameters.iter().map(value).collect();
    (description.make)(&all, 7)
}

fn drawn(name: &str, values: &[(&str, f64)], count: usize) -> Batch<f64> {
    let description = ALL.into_iter().find(|d| d.name == name).unwrap();
    batch(&*make(description, values).unwrap(), 7, 3, 0..count)
}

#[test]
fn any_part_of_a_batch_can_be_drawn_alone() {
    for description in ALL {
        let task = make(description, &[]).unwrap();
        let sizes = task.sizes();
        let all = batch(&*task, 7, 3, 0..5);
        assert_eq!(all.inputs.len(), 5 * sizes.steps * sizes.n_in);
        let some = batch(&*task, 7, 3, 2..4);
        let part = |per: usize| 2 * sizes.steps * per..4 * sizes.steps * per;
        assert_eq!(some.inputs, all.inputs[part(sizes.n_in)], "{}", description.name);
        assert_eq!(some.targets, all.targets[part(sizes.n_out)]);
        assert_eq!(some.mask, all.mask[part(1)]);
        // Another batch, another seed: other numbers.
        assert_ne!(batch(&*task, 7, 4, 0..5).inputs, all.inputs, "{}", description.name);
        assert_ne!(batch(&*task, 8, 3, 0..5).inputs, all.inputs, "{}", description.name);
        assert!(all.inputs.iter().chain(&all.targets).all(|x| x.is_finite()));
    }
}

#[test]
fn flip_flop_remembers_the_last_pulse() {
    let b = drawn("flip_flop", &[("bits", 2.0)], 50);
    let mut last = [0.0; 2];
    let mut pulses = 0;
    for (i, (x, y)) in b.inputs.chunks(2).zip(b.targets.chunks(2)).enumerate() {
        for k in 0..2 {
            assert!(x[k].abs() == 1.0 || (x[k] == 0.0 && i % 60 > 0));
            pulses += usize::from(x[k] != 0.0 && i % 60 > 0);
            last[k] = if x[k] == 0.0 { last[k] } else { x[k] };
        }
        assert_eq!(y, last);
    }
    // 5900 draws of probability 0.1: a standard deviation of 23.
    assert!((590 - 115..590 + 115).contains(&pulses), "{pulses}");
}

#[test]
fn memory_pro_has_its_periods() {
    for vary in [0, 4] {
        let b = drawn("memory_pro", &[("stimulus", 6.0), ("memory", 5.0), ("vary", vary as f64), ("grace", 2.0)], 40);
        let mut lengths = Vec::new();
        for (x, (y, mask)) in b.inputs.chunks(41 * 3).zip(b.targets.chunks(41 * 3).zip(b.mask.chunks(41))) {
            let (x, y): (Vec<_>, Vec<_>) = (x.chunks(3).collect(), y.chunks(3).collect());
            let (stimulus, go) = (x.iter().filter(|x| x[1] != 0.0).count(), x.iter().filter(|x| x[0] != 0.0).count());
            assert!((6 - vary..=6).contains(&stimulus) && (5 - vary..=5).contains(&(go - stimulus)));
            lengths.push((stimulus, go));
            for t in 0..41 {
                assert_eq!(mask[t], if t == go || t == go + 1 { 0.0 } else { 1.0 });
                assert_eq!(y[t], if t < go { [1.0, 0.0, 0.0] } else { [0.0, x[0][1], x[0][2]] });
            }
            assert!((x[0][1].hypot(x[0][2]) - 1.0).abs() < 1e-15);
        }
        lengths.dedup();
        assert_eq!(lengths.len() > 1, vary > 0);
    }
}

#[test]
fn line_attractor_adds_up() {
    let b = drawn("line_attractor", &[], 10);
    for (x, y) in b.inputs.chunks(60).zip(b.targets.chunks(60)) {
        let mut sum = 0.0;
        for (x, y) in x.iter().zip(y) {
            sum += x;
            assert!(*y == sum && x.abs() <= 0.5);
        }
    }
}

#[test]
fn forecasts_are_of_low_rank_and_come_true() {
    // Without noise and drive the input is what was forecast h steps before.
    let b = drawn("low_rank_forecast", &[("rank", 3.0), ("decay", 1.0), ("noise", 0.0)], 2);
    for (x, y) in b.inputs.chunks(50 * 8).zip(b.targets.chunks(50 * 8)) {
        for t in 0..45 * 8 {
            assert!((y[t] - x[t + 5 * 8]).abs() < 1e-12);
        }
    }
    // The drive keeps the variance: tr C Cᵀ a step.
    let driven = drawn("low_rank_forecast", &[("decay", 0.5), ("noise", 0.0)], 400);
    let power = |t: usize| -> f64 {
        let rows = driven.inputs.chunks(50 * 8);
        rows.map(|x| x[t * 8..(t + 1) * 8].iter().map(|x| x * x).sum::<f64>()).sum::<f64>() / 400.0
    };
    let mean = (0..50).map(power).sum::<f64>() / 50.0;
    assert!((power(0) / mean - 1.0).abs() < 0.25 && (power(49) / mean - 1.0).abs() < 0.25, "{} {mean}", power(0));
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    for (name, values) in [
        ("memory_pro", [("vary", 30.0), ("grace", 0.0)]),
        ("memory_pro", [("grace", 30.0), ("vary", 0.0)]),
        ("low_rank_forecast", [("rank", 9.0), ("inputs", 8.0)]),
    ] {
        let description = ALL.into_iter().find(|d| d.name == name).unwrap();
        assert!(make(description, &values).unwrap_err().contains("; it is "));
    }
}

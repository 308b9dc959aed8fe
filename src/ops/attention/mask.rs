//! Which keys a query sees, but for those that a bias hides: two ranges, decided by causality, windows and lengths.

use super::plan::Sequence;

/// The masks of one request.
#[derive(Clone, Copy)]
pub(super) struct Mask {
    pub top_left: bool,
    /// How far a query sees to the left, if limited.
    pub left: Option<i64>,
    /// How far to the right; causal is 0.
    pub right: Option<i64>,
    /// First keys that a left window never hides.
    pub kept: i64,
}

/// Keys `0..kept` and `from..to`, where `kept <= from <= to`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Visible {
    pub kept: usize,
    pub from: usize,
    pub to: usize,
}

impl Visible {
    /// Whether some key of `start..end` is seen.
    pub fn meets(&self, start: usize, end: usize) -> bool {
        start < self.kept.min(end) || start.max(self.from) < end.min(self.to)
    }

    /// The first key of `start..end` that is seen, and the one after the last.
    pub fn hull(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let low = if start < self.kept { start } else { start.max(self.from) };
        let main = start.max(self.from) < end.min(self.to);
        let high = if main { end.min(self.to) } else { end.min(self.kept) };
        (low < high).then_some((low, high))
    }
}

impl Mask {
    /// Where query `i` stands among the keys; may be negative.
    pub fn position(&self, i: usize, sequence: &Sequence) -> i64 {
        if self.top_left { i as i64 } else { i as i64 + sequence.keys as i64 - sequence.queries as i64 }
    }

    /// What query `i` sees; nothing past the queries in use.
    pub fn visible(&self, i: usize, sequence: &Sequence) -> Visible {
        if i >= sequence.queries {
            return Visible::default();
        }
        let (p, keys) = (self.position(i, sequence), sequence.keys as i64);
        let to = self.right.map_or(keys, |right| p.saturating_add(right).saturating_add(1).clamp(0, keys));
        let from = self.left.map_or(0, |left| p.saturating_sub(left).clamp(0, to));
        Visible { kept: self.kept.min(from) as usize, from: from as usize, to: to as usize }
    }

    /// What some query of `first..end` sees, at least: both ends move right with the query.
    pub fn visible_to_any(&self, first: usize, end: usize, sequence: &Sequence) -> Visible {
        let end = end.min(sequence.queries);
        if first >= end {
            return Visible::default();
        }
        let (low, high) = (self.visible(first, sequence), self.visible(end - 1, sequence));
        let kept = (self.kept.max(0) as usize).min(high.to);
        Visible { kept: kept.min(low.from), from: low.from, to: high.to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_what_the_inequalities_say() {
        for case in 0..20_000u64 {
            let digit = |n: u32| (case / 7u64.pow(n)) as i64 * 5 % 7;
            let sequence =
                Sequence { queries: digit(0) as usize, keys: digit(1) as usize, ..Sequence::default() };
            let limit = |x: i64| (x < 5).then_some(x);
            let mask = Mask {
                top_left: case % 2 == 0,
                left: limit(digit(2)),
                right: limit(digit(3)),
                kept: digit(4) % 3,
            };
            let any = mask.visible_to_any(0, sequence.queries, &sequence);
            for (i, j) in (0..7).flat_map(|i| (0..7).map(move |j| (i, j))) {
                let p = mask.position(i as usize, &sequence);
                let inside = i < sequence.queries as i64 && j < sequence.keys as i64;
                let right = mask.right.is_none_or(|right| j <= p + right);
                let left = mask.left.is_none_or(|left| j >= p - left) || j < mask.kept;
                let visible = mask.visible(i as usize, &sequence);
                let seen = visible.meets(j as usize, j as usize + 1);
                for end in j as usize..8 {
                    let within = |j: &usize| visible.meets(*j, *j + 1);
                    let first = (j as usize..end).find(within);
                    let hull = first.map(|first| (first, (j as usize..end).rfind(within).unwrap() + 1));
                    assert_eq!(visible.hull(j as usize, end), hull, "{visible:?} {j} {end}");
                }
                assert_eq!(seen, inside && left && right, "{mask:?} {i} {j}", mask = (mask.left, mask.right));
                assert!(!seen || any.meets(j as usize, j as usize + 1));
            }
        }
    }
}

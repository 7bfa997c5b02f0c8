//! The word in which all of a breaker is that must be decided once.
//!
//! ```text
//! generation 28 | failures 8 | successes 8 | probes 16 | mode 2 | state 2
//! ```
//! The generation rises with every change of the state, so an answer that comes late is told from one that
//! counts. While half-open, a bit of `probes` is set for each probe that is out. While closed, the
//! two counts are one: failures in a row.

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// Some probes.
    HalfOpen,
}

/// Whether a breaker's decisions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They do.
    Normal,
    /// They are made, and nothing is refused.
    Shadow,
    /// Everything is refused.
    ForcedOpen,
    /// Nothing is refused or counted.
    Disabled,
}

impl Mode {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Shadow, Self::ForcedOpen, Self::Disabled];

    /// As it is written in a definition.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Shadow => "shadow",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
        }
    }
}

impl State {
    /// As it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

const MODE_SHIFT: u32 = 2;
const PROBES_SHIFT: u32 = 4;
const SUCCESSES_SHIFT: u32 = 20;
const FAILURES_SHIFT: u32 = 28;
const GENERATION_SHIFT: u32 = 36;

/// Probes that can be out at once.
#[cfg(not(penstock_loom))]
pub const PROBES: usize = 16;
#[cfg(penstock_loom)]
#[allow(missing_docs)]
pub const PROBES: usize = 2;

/// Answers of probes that can be counted.
pub const ANSWERS_MAX: u32 = 0xff;

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word(pub(super) u64);

impl Word {
    /// What it lets through. The fourth number is no state, and is taken for open.
    #[must_use]
    pub const fn state(self) -> State {
        match self.0 & 3 {
            0 => State::Closed,
            2 => State::HalfOpen,
            _ => State::Open,
        }
    }

    /// Whether that counts.
    #[must_use]
    pub const fn mode(self) -> Mode {
        Mode::ALL[(self.0 >> MODE_SHIFT & 3) as usize]
    }

    /// How often the state has changed, modulo 2²⁸.
    #[must_use]
    pub const fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    /// A bit for each probe that is out.
    #[must_use]
    pub const fn probes(self) -> u32 {
        (self.0 >> PROBES_SHIFT) as u32 & 0xffff
    }

    /// Of probes, since it is half-open.
    #[must_use]
    pub const fn successes(self) -> u32 {
        (self.0 >> SUCCESSES_SHIFT) as u32 & 0xff
    }

    /// Of probes, since it is half-open.
    #[must_use]
    pub const fn failures(self) -> u32 {
        (self.0 >> FAILURES_SHIFT) as u32 & 0xff
    }

    /// While closed.
    #[must_use]
    pub const fn failures_in_a_row(self) -> u32 {
        (self.0 >> SUCCESSES_SHIFT) as u32 & 0xffff
    }

    pub(super) const fn with_failures_in_a_row(self, count: u32) -> Self {
        let rest = self.0 & !(0xffff << SUCCESSES_SHIFT);
        Self(rest | (count as u64 & 0xffff) << SUCCESSES_SHIFT)
    }

    pub(super) const fn with_success(self) -> Self {
        Self(self.0.wrapping_add(1 << SUCCESSES_SHIFT))
    }

    pub(super) const fn with_failure(self) -> Self {
        Self(self.0.wrapping_add(1 << FAILURES_SHIFT))
    }

    pub(super) const fn with_mode(self, mode: Mode) -> Self {
        Self(self.0 & !(3 << MODE_SHIFT) | (mode as u64) << MODE_SHIFT)
    }

    pub(super) const fn has_probe(self, number: usize) -> bool {
        self.probes() >> number & 1 == 1
    }

    pub(super) const fn with_probe(self, number: usize) -> Self {
        Self(self.0 | 1 << (PROBES_SHIFT + number as u32))
    }

    pub(super) const fn without_probe(self, number: usize) -> Self {
        Self(self.0 & !(1 << (PROBES_SHIFT + number as u32)))
    }

    /// The beginning of the next generation, in that state.
    pub(super) const fn next(self, state: State) -> Self {
        let state = match state {
            State::Closed => 0,
            State::Open => 1,
            State::HalfOpen => 2,
        };
        let generation = self.0 & !((1 << GENERATION_SHIFT) - 1);
        let generation = generation.wrapping_add(1 << GENERATION_SHIFT);
        Self(generation | self.0 & (3 << MODE_SHIFT) | state)
    }
}

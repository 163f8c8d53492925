//! The admission rule of circuit breakers, given the counts. The counts themselves are shared by
//! all workers and live elsewhere.

/// `circuit_breakers.thresholds[]` of one routing priority.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Connections to the cluster that may be open.
    pub max_connections: u32,
    /// Requests that may wait for a connection. Zero is legal: nothing may wait.
    pub max_pending_requests: u32,
    /// Requests that may be in flight.
    pub max_requests: u32,
    /// Retries that may be in flight, when no budget is set.
    pub max_retries: u32,
    /// Replaces `max_retries` by a share of the active requests.
    pub retry_budget: Option<RetryBudget>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_pending_requests: 1024,
            max_requests: 1024,
            max_retries: 3,
            retry_budget: None,
        }
    }
}

impl Thresholds {
    /// Whether one more connection may be opened while `open` are.
    pub fn admits_connection(&self, open: u32) -> bool {
        open < self.max_connections
    }

    /// Whether one more request may wait while `pending` do.
    pub fn admits_pending(&self, pending: u32) -> bool {
        pending < self.max_pending_requests
    }

    /// Whether one more request may be sent while `active` are in flight.
    pub fn admits_request(&self, active: u32) -> bool {
        active < self.max_requests
    }

    /// Whether one more retry may start while `retries` are in flight, out of `active` requests
    /// in flight and `pending` waiting.
    pub fn admits_retry(&self, retries: u32, active: u32, pending: u32) -> bool {
        retries < self.retry_limit(active, pending)
    }

    /// Retries that may be in flight at this load.
    pub fn retry_limit(&self, active: u32, pending: u32) -> u32 {
        match self.retry_budget {
            Some(budget) => budget.limit(active, pending),
            None => self.max_retries,
        }
    }
}

/// `retry_budget` of the thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Share of active and pending requests that may be retries, in percent.
    pub budget_percent: f64,
    /// Retries that are always allowed, however small the load.
    pub min_retry_concurrency: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { budget_percent: 20.0, min_retry_concurrency: 3 }
    }
}

impl RetryBudget {
    fn limit(&self, active: u32, pending: u32) -> u32 {
        let load = f64::from(active) + f64::from(pending);
        // The cast truncates and saturates, and sends NaN to 0: the floor still holds.
        let share = (load * self.budget_percent / 100.0) as u32;
        share.max(self.min_retry_concurrency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_admits_up_to_itself_and_zero_admits_nothing() {
        let limits = Thresholds { max_pending_requests: 0, ..Thresholds::default() };
        assert!(limits.admits_connection(1023));
        assert!(!limits.admits_connection(1024));
        assert!(limits.admits_request(0));
        assert!(!limits.admits_request(u32::MAX));
        assert!(!limits.admits_pending(0));
    }

    #[test]
    fn without_a_budget_three_retries_are_the_limit() {
        let limits = Thresholds::default();
        assert!(limits.admits_retry(2, 1_000_000, 0));
        assert!(!limits.admits_retry(3, 1_000_000, 0));
    }

    #[test]
    fn a_budget_follows_the_load_above_its_floor() {
        let limits =
            Thresholds { retry_budget: Some(RetryBudget::default()), ..Thresholds::default() };
        assert_eq!(limits.retry_limit(0, 0), 3);
        assert_eq!(limits.retry_limit(10, 4), 3);
        assert_eq!(limits.retry_limit(80, 20), 20);
        assert_eq!(limits.retry_limit(u32::MAX, u32::MAX), 1_717_986_918);
    }
}

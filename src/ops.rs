//! What running a process takes: telemetry, metrics, health, shutdown, clock.

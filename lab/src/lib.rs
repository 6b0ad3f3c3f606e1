//! A laboratory of real servers on loopback, for tests, the demo and rehearsals.

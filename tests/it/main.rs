//! All tests in one binary; its modules mirror the two source trees.

mod golden;

//! Each rule judged by made-up answers.

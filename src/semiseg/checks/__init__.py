"""The rules of `semiseg check` and its report."""

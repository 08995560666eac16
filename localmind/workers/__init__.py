"""Native code runs in worker processes: this folder starts them, talks to them and outlives them."""

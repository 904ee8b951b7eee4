package liveness

import "time"

// LeaseTTL is how long a lease outlives its holder. The store's resolution is one second.
const LeaseTTL = 2 * time.Second

// RenewEvery is how often the holder renews its lease; it then sees who holds it.
const RenewEvery = LeaseTTL / 3

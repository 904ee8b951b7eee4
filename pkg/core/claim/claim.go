// Package claim decides which devices of a host a worker may use, if each worker may write
// only its own claim and reads those of the others.
//
// A claim is taken in three steps:
//
//  1. The worker stores a claim of devices that nobody else claims (Choose).
//  2. It reads all claims, as of a moment not before its own was stored.
//  3. If one of them comes before its own (Conflict), it removes its claim and begins
//     anew. Otherwise it replaces the claim by one that is held, if its claim was stored
//     until then without a break.
//
// Of two workers that claim a device at the same time the later one sees the earlier
// claim, held or not, and withdraws; the earlier one may see the later claim, and goes on.
// So no device is held twice, whoever else writes how much, and some claim of each
// conflict succeeds. A worker whose claim expired takes the steps from the first one for
// the devices that it has.
//
// The package is called by pkg/adapter/nats, which stores claims. It does no I/O and reads
// no clock; it does not check whether a claim is genuine.
package claim

import "slices"

// Claim is what one worker says of devices.
type Claim struct {
	Worker string
	// Stored orders claims: a number of the store that grows with each write.
	Stored  uint64
	Devices []string
	// Held: the worker has seen that no claim came before its own.
	Held bool
}

// Choose returns the first n devices of the inventory that no other worker claims, or false
// if there are fewer.
func Choose(inventory []string, n int, others []Claim) ([]string, bool) {
	var free []string
	for _, device := range inventory {
		if len(free) < n && Claimant(device, others) == "" {
			free = append(free, device)
		}
	}
	return free, len(free) == n
}

// Claimant returns who claims a device, "" for nobody; of several the first in order.
func Claimant(device string, claims []Claim) string {
	for _, c := range claims {
		if slices.Contains(c.Devices, device) {
			return c.Worker
		}
	}
	return ""
}

// Conflict returns a device of a worker's own claim that another one has, or claims since
// before; "" if there is none. What others hold counts whenever it was stored: a claim that
// is held is stored again and again.
func Conflict(own Claim, others []Claim) string {
	for _, device := range own.Devices {
		for _, c := range others {
			if c.Worker != own.Worker && (c.Held || c.Stored < own.Stored) && slices.Contains(c.Devices, device) {
				return device
			}
		}
	}
	return ""
}

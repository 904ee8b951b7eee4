// Package pages accounts for the weight pages of one GPU: which frames are free,
// which hold the weights of which model, and how many executions are using them.
//
// The worker keeps one Ledger per GPU and asks the Ledger before it touches the
// device. The package is pure and has no lock: one goroutine (or one lock) owns
// a Ledger. It copies no weights and reads no clock. It neither chooses what to
// evict nor waits for free pages.
package pages

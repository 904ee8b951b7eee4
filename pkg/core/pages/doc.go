// Package pages accounts for the weight pages of one GPU: which frames are
// free, which hold the weights of which model, and who is using them.
//
// The worker keeps one Ledger per GPU and asks it before anything touches the
// device. It is pure, without a lock: one goroutine (or one lock) owns it. It
// copies no weights and knows no time; it neither chooses what to evict nor
// waits for pages to become free.
package pages

// Package planted holds tests to what they claim: it plants faults in a package's
// source, one at a time, and its tests must find each.
//
// A test with the build tag planted calls it (make planted). Faults are planted in a
// copy that the compiler is shown (go build -overlay); the tree is never changed. The
// faults of one call are looked for beside each other.
package planted

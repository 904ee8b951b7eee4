// Package planted tests the tests: it plants faults in a package's source, one
// at a time, and the package's tests must detect each.
//
// A test with the build tag planted calls it (make planted). Faults are planted
// in a copy of the source file, which the compiler reads through go build
// -overlay; the tree is never changed. The faults of one call are tested in
// parallel.
package planted

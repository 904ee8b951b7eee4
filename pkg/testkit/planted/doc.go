// Package planted tests the tests: it plants faults in a package's source, one
// at a time, and the package's tests must detect each.
//
// A test with the build tag planted calls it (make planted). Each function with
// a fault gets a twin that has it, in a copy of the source file that the compiler
// reads through go build -overlay; the tree is never changed. The environment
// says which twin is called in its function's stead. So one build serves all
// faults of a package, which are tested in parallel.
package planted

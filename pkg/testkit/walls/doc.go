// Package walls checks the architecture of docs/architecture.md: which packages
// may import which, and that the deciding packages are pure. The rules are a
// table, checked over go list for all direct and indirect imports. A finding
// names the import chain to the forbidden package and the reason why it is
// forbidden.
//
// Only its own test calls it; make lint runs that. It reads source code; it
// cannot see through an interface or a function value.
package walls

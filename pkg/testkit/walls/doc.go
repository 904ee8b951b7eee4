// Package walls keeps the tree as docs/architecture.md draws it: who may import whom,
// and that what decides is pure. The rules are a table, checked over go list: through
// every package that a package depends on, not its own imports alone. A finding names
// the way by which the forbidden thing is reached, and why it is forbidden.
//
// Only its own test calls it; make lint runs that. It reads source code; it cannot see
// through an interface or a function that somebody hands in.
package walls

// Package terminal shows progress and tables to a person: bars that are
// redrawn in place on a terminal, plain lines anywhere else, and numbers in
// the units people read.
//
// The commands call it. A Display belongs to one goroutine (but for Width): it has no lock,
// and nothing else may write to its writer while bars stand. It starts no
// goroutine, asks no clock and reads no environment; it draws when called.
//
// What is shown may come from peers, so control characters are replaced: no
// message can move the cursor or colour the screen. East Asian characters
// count as two columns; joined emoji and combining marks are not measured.
package terminal

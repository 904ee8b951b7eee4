// Package terminal shows progress and tables to people: bars that are redrawn in place
// on a terminal, plain lines elsewhere, and numbers in readable units.
//
// The commands call it. A Display belongs to one goroutine (except for Width): it has no
// lock, and nothing else may write to its writer while bars are shown. It starts no
// goroutine and reads neither clock nor environment; it draws when called.
//
// Texts may come from peers, so control characters are replaced: no message can move the
// cursor or colour the screen. East Asian characters count as two columns; joined emoji
// and combining marks are not measured.
package terminal

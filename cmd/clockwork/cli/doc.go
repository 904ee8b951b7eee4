// Package cli is what the commands of clockwork have in common: the flags that every
// command has, where and how a command prints (the console, bars, a log between them,
// folded text), which exit code and which JSON a failure becomes, and how a command ends
// by a signal.
//
// Run parses arguments by a grammar and runs the one command in it; cmd/clockwork calls
// it, and so do tests of packages with commands. A Console belongs to one command and
// is used by the goroutine that runs it; a Progress may be told by any. This package
// knows no command, and starts no service.
package cli

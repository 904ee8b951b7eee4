// Package cli is the common part of all clockwork commands: the flags that every command
// has, how a command prints (the console, bars, a log between them, folded text), the
// exit code and JSON of a failure, and how a signal ends a command.
//
// Run parses arguments by a grammar and runs the one command in it; cmd/clockwork calls
// it, and so do tests of packages with commands. A Console belongs to one command and to
// the goroutine that runs it; any goroutine may report to a Progress. This package knows
// no command, and starts no service.
package cli

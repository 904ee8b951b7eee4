// Package tsv writes the request log and the action log in the original's format, so
// that tools for the original's logs read ours.
//
// Clockwork (OSDI 2020, in C++) writes clockwork_request_log.tsv and
// clockwork_action_log.tsv in its controller; columns, order, units and numbers here
// follow its classes RequestTelemetryFileLogger and ControllerActionTelemetryFileLogger,
// and the scripts that draw the paper's figures from them. requests.go and actions.go
// describe each column next to its name. Our own columns come after all of the
// original's, whose scripts read columns by name. Those scripts drop every line in which
// a field is missing, so no field is ever empty (text.go).
//
// Requests and Actions attach a Log to a hub. A listener writes one line into memory and
// returns; one goroutine appends the lines to the file, twice a second while there are
// any. If the file cannot be written, or not fast enough, lines are lost; the losses are
// counted and reported in the service's log, and no request waits.
//
// A file belongs to one process: it is locked if the system supports that. It is rotated
// by size, and created anew if it was moved away or emptied, without any signal.
package tsv

// Package tsv writes the request log and the action log of the original, so that what
// reads those reads ours.
//
// Clockwork (OSDI 2020, in C++) writes clockwork_request_log.tsv and
// clockwork_action_log.tsv in its controller; columns, order, units and numbers here
// are those of its classes RequestTelemetryFileLogger and
// ControllerActionTelemetryFileLogger, and of the scripts that draw the paper's
// figures from them. What a column holds is written beside its name in requests.go and
// actions.go. Columns of our own come after all of the original's: its scripts read by
// name. They drop every line in which a field is missing, so no field ever is (text.go).
//
// Requests and Actions attach a Log to a hub. A listener writes one line into memory
// and returns; one goroutine appends what has come together to the file, twice a
// second while something comes. If the file cannot be written, or not fast enough,
// lines are lost: that is counted and told in the service's log, and no request waits.
//
// A file is one process's: it is locked where the system can. It is rotated by size,
// and begun anew when somebody else moved it away or emptied it, without any signal.
package tsv

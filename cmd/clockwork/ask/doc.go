// Package ask holds what several commands share for querying a running stack and
// printing its answers: reading requests from files, measuring requests as a client, the
// table of models, the summary of many requests.
//
// Commands call it, including those of the laboratory. It has no state, and its
// functions may be called concurrently.
package ask

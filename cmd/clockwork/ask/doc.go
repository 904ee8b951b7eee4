// Package ask is what several commands ask a running stack, and how they show its
// answers: requests read from files or measured as a client sees them, the table of
// models, the summary of many requests.
//
// Commands call it, those of the laboratory too. It keeps nothing, and its functions may
// be called beside each other.
package ask

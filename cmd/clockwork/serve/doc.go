// Package serve runs services in this process: their flags and what these mean as
// configurations, a broker, those who hear what services do (metrics, traces, logs), and
// a whole Stack around a broker of its own.
//
// Commands that serve call it, and those of the laboratory that want a stack of their
// own. Each Stack, App and Broker is for one goroutine. What services do is theirs;
// nothing here decides about requests or models.
package serve

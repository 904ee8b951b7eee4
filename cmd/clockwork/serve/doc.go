// Package serve runs services in this process: their flags and the configurations that
// result from them, a broker, the listeners to the services (metrics, traces, logs), and
// a whole Stack around a broker of its own.
//
// Commands that run services call it, and those of the laboratory that need a stack of
// their own. Each Stack, App and Broker is for one goroutine. The package only starts
// and stops services; it decides nothing about requests or models.
package serve

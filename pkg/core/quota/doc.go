// Package quota decides how much of a front door each tenant and each model may
// have: requests in flight, their bytes, and requests a second.
//
// A front door calls Take before it decodes a message, and returns the request's
// share when the request is answered:
//
//	share, refusal := ledger.Take(tenant, model, bytes, now)
//	...
//	ledger.Return(share)
//
// The package is pure, and for one goroutine at a time: the front door has a
// lock. Each front door counts for itself. The package does not authenticate
// tenants and does not order waiting requests: admitted requests are the
// scheduler's.
package quota

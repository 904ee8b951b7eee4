// Package quota decides how much of a front door each tenant and each model may
// have: requests in flight, their bytes, and requests a second.
//
// A front door asks its Ledger before it looks into a message, and gives back what
// the request held when it is answered:
//
//	share, refusal := ledger.Take(tenant, model, bytes, now)
//	...
//	ledger.Return(share)
//
// It is pure, and for one goroutine at a time: the door has a lock. It counts at
// one door; with several, each counts for itself. It does not know who a tenant
// is, and does not order what waits: what was taken in is the scheduler's.
package quota

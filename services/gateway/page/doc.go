// Package page is what a browser shows of a gateway: its files, which are part of the binary,
// and the data that they ask for. It serves nothing itself (services/gateway/httpapi does),
// and the page infers over the same path as every client.
//
// Names of models and tensors, and messages of errors, are whatever somebody called them: the
// script writes them as text, never as markup, and the page's policy allows no script but its
// own.
package page

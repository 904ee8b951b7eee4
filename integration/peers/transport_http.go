package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/bench"
	"clockwork/pkg/protocol"
)

// httpLine sends each request from a goroutine over a connection of its own; connections
// are kept.
type httpLine struct {
	url      string
	client   *http.Client
	request  requestMaker
	answered answer
}

// requestMaker makes an HTTP request for the inputs; within is the time left.
type requestMaker func(url, model string, in *bench.Inputs, within time.Duration) (*http.Request, error)

func openHTTP(make requestMaker) func(url string) ([]bench.Line, func(), error) {
	return func(url string) ([]bench.Line, func(), error) {
		transport := &http.Transport{MaxIdleConns: 2 * places, MaxIdleConnsPerHost: 2 * places, DisableCompression: true, WriteBufferSize: 64 << 10}
		line := &httpLine{url: url, client: &http.Client{Transport: transport}, request: make}
		return []bench.Line{line}, transport.CloseIdleConnections, nil
	}
}

func (l *httpLine) Open(answered func(token uint64, o client.Outcome)) error {
	l.answered = answered
	return nil
}

func (l *httpLine) Send(token uint64, model string, in *bench.Inputs, within time.Duration) error {
	q, err := l.request(l.url, model, in, within)
	if err != nil {
		return err
	}
	go l.exchange(token, q, within+grace)
	return nil
}

// exchange sends a request and reports its answer; none if it has not come in time.
func (l *httpLine) exchange(token uint64, q *http.Request, wait time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	size, code, err := l.do(q.WithContext(ctx))
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.answered.failed(token, protocol.StateUnavailable)
	case code != protocol.OK:
		l.answered.failed(token, code)
	default:
		l.answered.served(token, size)
	}
}

func (l *httpLine) do(q *http.Request) (size int, code protocol.Code, err error) {
	r, err := l.client.Do(q)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = r.Body.Close() }()
	n, err := io.Copy(io.Discard, r.Body)
	return int(n), statusCode(r.StatusCode), err
}

// statusCode is the code that says what an HTTP status says.
func statusCode(status int) protocol.Code {
	switch status {
	case http.StatusOK:
		return protocol.OK
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return protocol.DeadlineExceeded
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return protocol.Overloaded
	}
	return protocol.Internal
}

// oipRequest is a request of the Open Inference Protocol with binary tensors, and with
// Triton's timeout, in microseconds.
func oipRequest(url, model string, in *bench.Inputs, within time.Duration) (*http.Request, error) {
	t := in.Tensors[0]
	head := fmt.Sprintf(`{"parameters":{"binary_data_output":true,"timeout":%d},"inputs":[{"name":%q,"datatype":%q,"shape":%s,`+
		`"parameters":{"binary_data_size":%d}}],"outputs":[{"name":"prob","parameters":{"binary_data":true}}]}`,
		within.Microseconds(), t.Name, t.Datatype, shape(t.Shape), len(t.Data))
	q, err := post(url+"/v2/models/"+model+"/infer", io.MultiReader(bytes.NewReader([]byte(head)), bytes.NewReader(t.Data)), len(head)+len(t.Data))
	if err == nil {
		q.Header.Set("Inference-Header-Content-Length", strconv.Itoa(len(head)))
	}
	return q, err
}

// shape is a tensor's shape in JSON.
func shape(dims []int64) string {
	text := []byte{'['}
	for i, d := range dims {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, d, 10)
	}
	return string(append(text, ']'))
}

// rawRequest is the tensor's bytes; headers name the model and the time left.
func rawRequest(url, model string, in *bench.Inputs, within time.Duration) (*http.Request, error) {
	data := in.Tensors[0].Data
	q, err := post(url+"/predict", bytes.NewReader(data), len(data))
	if err == nil {
		q.Header.Set("X-Model", model)
		q.Header.Set("X-Budget-Ms", strconv.FormatInt(within.Milliseconds(), 10))
	}
	return q, err
}

func post(url string, body io.Reader, size int) (*http.Request, error) {
	q, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	q.ContentLength = int64(size)
	q.Header.Set("Content-Type", "application/octet-stream")
	return q, nil
}

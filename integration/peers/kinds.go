package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
)

// kinds make the command that starts a server, and set its URL.
var kinds = map[string]func(ctx context.Context, v *server) (*exec.Cmd, error){
	"clockwork": clockwork,
	"triton":    triton,
	"kserve":    kserve,
	"bentoml":   bentoml,
	"ray":       rayServe,
}

// sitePackages is where a virtual environment has its packages.
func (p place) sitePackages(environment string) (string, error) {
	found, err := filepath.Glob(p.in("env-"+environment, "lib", "python3*", "site-packages"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("there is no environment of %s in %s: run environments.sh", environment, p.dir)
	}
	return found[0], nil
}

// onnxRuntime is the library that all servers execute with.
func (p place) onnxRuntime() (string, error) {
	packages, err := p.sitePackages("models")
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(packages, "onnxruntime", "capi", "libonnxruntime.so.*"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("%s has no ONNX Runtime", packages)
	}
	return found[0], nil
}

// clockwork runs the whole stack in one process, on what an earlier start kept. The first
// start of a binary loads the models, which measures them, and keeps that.
func clockwork(ctx context.Context, v *server) (*exec.Cmd, error) {
	host, _, err := address()
	if err != nil {
		return nil, err
	}
	library, err := v.onnxRuntime()
	if err != nil {
		return nil, err
	}
	sum, err := sumOf(v.clockwork)
	if err != nil {
		return nil, err
	}
	data := v.in("run", v.name, fmt.Sprintf("data-%d-%s", len(v.names), sum))
	v.url = "nats://" + host
	args := append([]string{"up", "--backend", "onnx", "--onnx-library", library, "--onnx-cache", v.in("run", v.name, "cache"), "--models", v.in("models"),
		"--data", data, "--listen", host, "--load-idle", "1s"}, v.Flags...)
	if _, err := os.Stat(data); err == nil {
		return exec.Command(v.clockwork, args...), nil
	}
	if err := v.loadOnce(ctx, args); err != nil {
		_ = os.RemoveAll(data)
		return nil, err
	}
	return exec.Command(v.clockwork, args...), nil
}

// loadOnce runs the stack until it has loaded and measured the models.
func (v *server) loadOnce(ctx context.Context, args []string) error {
	cmd := exec.Command(v.clockwork, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ctx.Err() == nil {
		c, err := client.Connect(v.url, "")
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		defer c.Close()
		return load(ctx, c, v.names)
	}
	return ctx.Err()
}

// load loads models and waits until the stack serves them.
func load(ctx context.Context, c *client.Client, names []string) error {
	err := awaitState(ctx, c, func(*protocol.StackState) bool { return true })
	for _, name := range names {
		if err != nil {
			return err
		}
		if _, refusal := c.Load(ctx, protocol.LoadRequest{Path: name}); refusal != nil {
			err = refusal
		}
	}
	if err != nil {
		return err
	}
	return awaitState(ctx, c, func(s *protocol.StackState) bool { return s.Stage == protocol.Active })
}

// awaitState waits until the stack tells a state that is as wanted.
func awaitState(ctx context.Context, c *client.Client, wanted func(*protocol.StackState) bool) error {
	for {
		if s, refusal := c.Brief(ctx); refusal == nil && wanted(s) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// triton runs the server of its Python package, with the package's backend for Python and a
// model of servers/triton_model.py for each network.
func triton(_ context.Context, v *server) (*exec.Cmd, error) {
	packages, err := v.sitePackages("triton")
	if err != nil {
		return nil, err
	}
	home := v.in("triton")
	if err := installTriton(packages, home); err != nil {
		return nil, err
	}
	repository := v.in("run", v.name, "models")
	if err := writeRepository(v, repository); err != nil {
		return nil, err
	}
	var ports [3]string
	for i := range ports {
		if _, ports[i], err = address(); err != nil {
			return nil, err
		}
	}
	v.url = "http://127.0.0.1:" + ports[0]
	args := []string{"--model-repository", repository, "--backend-directory", filepath.Join(home, "backends"), "--cache-directory", filepath.Join(home, "caches"),
		"--http-address", "127.0.0.1", "--http-port", ports[0], "--grpc-address", "127.0.0.1", "--grpc-port", ports[1],
		"--metrics-address", "127.0.0.1", "--metrics-port", ports[2]}
	cmd := exec.Command(filepath.Join(home, "bin", "tritonserver"), append(args, v.Flags...)...)
	cmd.Env = []string{"PATH=" + v.in("env-triton", "bin") + ":" + os.Getenv("PATH"), "LD_LIBRARY_PATH=" + filepath.Join(packages, "nvidia_pytriton.libs"),
		"PYTHONPATH=" + packages}
	return cmd, nil
}

// installTriton copies the server out of its package, with the stub for the environment's
// Python, as PyTriton does.
func installTriton(packages, home string) error {
	if _, err := os.Stat(home); err == nil {
		return nil
	}
	version := strings.TrimPrefix(filepath.Base(filepath.Dir(packages)), "python")
	from := filepath.Join(packages, "pytriton", "tritonserver")
	half := home + ".half"
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if err := os.CopyFS(half, os.DirFS(from)); err != nil {
		return err
	}
	const stub = "triton_python_backend_stub"
	text, err := os.ReadFile(filepath.Join(from, "python_backend_stubs", version, stub))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(half, "backends", "python", stub), text, 0o755); err != nil {
		return err
	}
	return os.Rename(half, home)
}

// kserve runs servers/kserve_server.py.
func kserve(_ context.Context, v *server) (*exec.Cmd, error) {
	_, http, err := address()
	if err != nil {
		return nil, err
	}
	_, grpc, err := address()
	if err != nil {
		return nil, err
	}
	v.url = "127.0.0.1:" + grpc
	cmd := exec.Command(v.python("kserve"), filepath.Join(v.source, "servers", "kserve_server.py"))
	cmd.Env = []string{"HTTP_PORT=" + http, "GRPC_PORT=" + grpc}
	return cmd, nil
}

// bentoml runs servers/bentoml_server.py.
func bentoml(_ context.Context, v *server) (*exec.Cmd, error) {
	host, port, err := address()
	if err != nil {
		return nil, err
	}
	v.url = "http://" + host
	bin := v.in("env-bentoml", "bin")
	cmd := exec.Command(filepath.Join(bin, "bentoml"), "serve", "bentoml_server:Service", "--working-dir", filepath.Join(v.source, "servers"), "--host", "127.0.0.1", "--port", port)
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	return cmd, nil
}

// rayServe runs servers/ray_server.py.
func rayServe(_ context.Context, v *server) (*exec.Cmd, error) {
	host, port, err := address()
	if err != nil {
		return nil, err
	}
	v.url = "http://" + host
	bin := v.in("env-ray", "bin")
	cmd := exec.Command(v.python("ray"), filepath.Join(v.source, "servers", "ray_server.py"))
	cmd.Env = []string{"PORT=" + port, "PATH=" + bin + ":" + os.Getenv("PATH")}
	return cmd, nil
}

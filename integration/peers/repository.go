package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// modelConfig is a model's configuration for Triton. The resource makes executions of all
// models wait for each other where the rate limiter is on.
const modelConfig = `name: %q
backend: "python"
max_batch_size: %d
input [ { name: "data" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] } ]
output [ { name: "prob" data_type: TYPE_FP32 dims: [ %s ] } ]
instance_group [ { count: 1 kind: KIND_CPU rate_limiter { resources [ { name: "executor" global: true count: 1 } ] } } ]
dynamic_batching {
  default_queue_policy { timeout_action: REJECT default_timeout_microseconds: %d allow_timeout_override: true }
}
`

// writeRepository writes Triton's model repository.
func writeRepository(v *server, directory string) error {
	if err := os.RemoveAll(directory); err != nil {
		return err
	}
	for i, name := range v.names {
		version := filepath.Join(directory, name, "1")
		if err := os.MkdirAll(version, 0o755); err != nil {
			return err
		}
		for from, to := range map[string]string{"triton_model.py": "model.py", "session.py": "session.py"} {
			if err := copyFile(filepath.Join(v.source, "servers", from), filepath.Join(version, to)); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(directory, name, "config.pbtxt"), []byte(tritonConfig(name, networks[i%len(networks)], v.Env)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

// tritonConfig is the configuration of a model of this network.
func tritonConfig(name, network string, env map[string]string) string {
	batch, dims := number(env["TRITON_BATCH"], 1), "1000"
	switch network {
	case "resnet50":
		batch = number(env["TRITON_BATCH_SLOW"], batch)
	case "squeezenet":
		dims = "1000, 1, 1"
	}
	return fmt.Sprintf(modelConfig, name, batch, dims, number(env["TRITON_QUEUE_US"], 0))
}

// number reads a setting.
func number(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return cmp.Or(n, otherwise)
}

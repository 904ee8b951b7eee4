//go:build linux && !static

package onnx

import (
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"clockwork/pkg/adapter/tritonconfig"
	"clockwork/pkg/protocol"
)

// settings are what the files beside a model's versions say.
type settings struct {
	config config
	text   string // of model.yaml
	// mistaken is what is wrong with them, nil if nothing is.
	mistaken *protocol.Error
}

// readSettings reads the settings of a model below the root.
func readSettings(dir *os.Root, name string) (set settings) {
	var triton *tritonconfig.Config
	text, refusal := readConfig(dir, path.Join(name, tritonFile))
	if refusal == nil && text != nil {
		triton, refusal = parseTriton(string(text), name)
	}
	set.mistaken = refusal
	if refusal != nil && refusal.Code != protocol.ModelCorrupt {
		return set
	}
	if text, refusal = readConfig(dir, path.Join(name, configFile)); refusal == nil {
		set.text = string(text)
		set.config, refusal = parseConfig(set.text, triton)
	}
	set.mistaken = together(set.mistaken, refusal)
	return set
}

// modelPath is where the file of a model's version is, below the root.
func (set *settings) modelPath(name string, version int) string {
	file := modelFile
	if set.config.triton != nil && set.config.triton.File != "" {
		file = set.config.triton.File
	}
	return path.Join(name, strconv.Itoa(version), file)
}

// notes say what of a config.pbtxt changes nothing, and which versions it selects besides the
// one that was loaded from a path.
func (s *source) notes(where string) (list []string) {
	if s.config.triton == nil {
		return nil
	}
	for _, n := range s.config.triton.Notes {
		list = append(list, tritonFile+" "+n)
	}
	if len(s.others) > 0 {
		list = append(list, fmt.Sprintf("%s version_policy selects the versions %v too: clockwork load %s/%d --name NAME serves one beside this", tritonFile, s.others[:min(8, len(s.others))], where, s.others[0]))
	}
	for i := range list {
		list[i] = protocol.ShortText(list[i], protocol.MaxWorkerText)
	}
	return list
}

// readConfig reads a file of settings, nil if there is none.
func readConfig(dir *os.Root, name string) ([]byte, *protocol.Error) {
	file, size, refusal := openFile(dir, name, maxConfig)
	if refusal != nil && refusal.Code == protocol.ModelNotFound {
		return nil, nil
	}
	if refusal != nil {
		return nil, refusal
	}
	defer file.Close()
	text := make([]byte, size)
	if _, err := io.ReadFull(file, text); err != nil {
		return nil, protocol.Errorf(protocol.ModelCorrupt, "read %s: %v", name, err)
	}
	return text, nil
}

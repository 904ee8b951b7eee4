package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// Clients' JSON. Keys are exact, as in msgpack: encoding/json takes them in any case, so a
// request is read key by key.

// requestKeys are the keys of a request that are read.
var requestKeys = []string{"id", "parameters", "inputs", "outputs"}

// dialect are the keys that are read within those: a request over HTTP has some more.
type dialect struct{ parameters, tensor, output []string }

var onBroker = dialect{
	parameters: []string{"slo_ms", "priority"},
	tensor:     []string{"name", "shape", "datatype", "data"},
	output:     []string{"name"},
}

// otherCase refuses a key that is read in another case only: it would be ignored, and the
// request would mean something else than its sender thinks.
func otherCase(key string, known []string) *protocol.Error {
	for _, k := range known {
		if key != k && strings.EqualFold(key, k) {
			return protocol.Errorf(protocol.BadMessage, "the key %q is not known; it is %q, in this case", key, k)
		}
	}
	return nil
}

// objectJSON is an object whose values are not decoded yet. Of duplicate keys the last
// counts.
type objectJSON map[string]json.RawMessage

// check refuses keys in another case.
func (o objectJSON) check(known []string) *protocol.Error {
	for key := range o {
		if fault := otherCase(key, known); fault != nil {
			return fault
		}
	}
	return nil
}

// decodeRest decodes what is left of the object: the caller has taken the long values out.
// No key is there in another case, which encoding/json would read as well.
func (o objectJSON) decodeRest(into any) *protocol.Error {
	body, err := json.Marshal(o)
	if err != nil { // the values were decoded before
		return protocol.Errorf(protocol.BadMessage, "decode JSON: %v", err)
	}
	return decodeJSON(exactIntegers(body), into, clientBounds)
}

// take removes a value from the object.
func (o objectJSON) take(key string) json.RawMessage {
	value := o[key]
	delete(o, key)
	return value
}

// inferJSON is a request without its inputs.
type inferJSON struct {
	ID         string                   `json:"id"`
	Parameters protocol.InferParameters `json:"parameters"`
	Outputs    []outputJSON             `json:"outputs"`
}

type outputJSON struct {
	Name string `json:"name"`
}

func decodeInferJSON(body []byte) (r protocol.InferRequest, fault *protocol.Error) {
	var in inferJSON
	inputs, fault := onBroker.decodeRequest(body, &in, tensorOf)
	if fault != nil {
		return r, fault
	}
	r = protocol.InferRequest{ID: in.ID, Parameters: in.Parameters, Inputs: inputs}
	for _, o := range in.Outputs {
		r.Outputs = append(r.Outputs, o.Name)
	}
	return checkID(r)
}

// decodeRequest decodes a request: the inputs by means of tensor, the rest into a struct.
func (d dialect) decodeRequest(body []byte, rest any, tensor func(objectJSON) (protocol.Tensor, *protocol.Error)) (inputs []protocol.Tensor, fault *protocol.Error) {
	var object objectJSON
	if fault = decodeObject(body, &object, clientBounds); fault != nil {
		return nil, fault
	}
	var list []objectJSON
	if fault = decodeList(object.take("inputs"), &list, d.tensor); fault != nil {
		return nil, fault
	}
	if fault = object.checkAll(d); fault != nil {
		return nil, fault
	}
	if fault = object.decodeRest(rest); fault != nil {
		return nil, fault
	}
	for _, o := range list {
		t, fault := tensor(o)
		if fault != nil {
			return nil, fault
		}
		inputs = append(inputs, t)
	}
	return inputs, nil
}

// checkAll checks the keys of a request without inputs, and of the objects in it.
func (o objectJSON) checkAll(d dialect) *protocol.Error {
	if fault := o.check(requestKeys); fault != nil {
		return fault
	}
	var outputs []objectJSON
	if fault := decodeList(o["outputs"], &outputs, d.output); fault != nil {
		return fault
	}
	var parameters objectJSON
	if text := o["parameters"]; len(text) > 0 {
		if fault := decodeJSON(text, &parameters, clientBounds); fault != nil {
			return fault
		}
	}
	return parameters.check(d.parameters)
}

// decodeList decodes an array of objects and checks their keys; no text is no objects.
func decodeList(text json.RawMessage, objects *[]objectJSON, known []string) *protocol.Error {
	if len(text) == 0 {
		return nil
	}
	if fault := decodeJSON(text, objects, clientBounds); fault != nil {
		return fault
	}
	for _, o := range *objects {
		if fault := o.check(known); fault != nil {
			return fault
		}
	}
	return nil
}

// tensorOf decodes one input.
func tensorOf(o objectJSON) (protocol.Tensor, *protocol.Error) {
	data := o.take("data")
	var t tensorJSON
	if fault := o.decodeRest(&t); fault != nil {
		return protocol.Tensor{}, fault
	}
	values, err := nestedFromJSON(t.Datatype, t.Shape, data)
	if err != nil {
		return protocol.Tensor{}, protocol.Errorf(protocol.InvalidInput, "input %q: %v", t.Name, err)
	}
	return protocol.Tensor{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape, Data: values}, nil
}

// byteOrderMark begins text of some editors.
var byteOrderMark = []byte("\xef\xbb\xbf")

// decodeObject decodes a message in JSON, which is an object.
func decodeObject(body []byte, into any, b bounds) *protocol.Error {
	body = bytes.TrimPrefix(body, byteOrderMark)
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		got := kindOf(first)
		if len(body) == 0 {
			got = "an empty message"
		}
		return protocol.Errorf(protocol.BadMessage, "expected a JSON object, {...}, or a map in msgpack; got %s", got)
	}
	return decodeJSON(body, into, b)
}

// kindOf names what a text begins with.
func kindOf(text []byte) string {
	switch {
	case len(text) == 0:
		return "white space"
	case text[0] == '[':
		return "a JSON array"
	case text[0] == '"':
		return "a JSON string"
	}
	return fmt.Sprintf("text that begins with %.20q", bytes.ToValidUTF8(text[:min(len(text), 20)], []byte("?")))
}

// isMap refuses a message in msgpack that is no map.
func isMap(body []byte) *protocol.Error {
	if c := body[0]; c&0xf0 == 0x80 || c == 0xde || c == 0xdf || c == 0xc0 {
		return nil
	}
	return protocol.Errorf(protocol.BadMessage, "expected a map in msgpack, or a JSON object, {...}; the first byte is 0x%02x", body[0])
}

// keyPath is the library's path to a value without the names of embedded structs of ours:
// keys have no capitals.
func keyPath(field string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(field, "."), func(part string) bool { return strings.ToLower(part) != part }), ".")
}

// expected is what a value should have been: the library also refuses numbers that are too
// large for their type.
func expected(kind *json.UnmarshalTypeError) string {
	if of := kind.Type.Kind(); of == reflect.Float64 && strings.HasPrefix(kind.Value, "number") {
		return fmt.Sprintf("a number of at most %.2g", math.MaxFloat64)
	}
	return goKind(kind.Type.Kind())
}

// jsonFault describes an error of the library to clients, who do not know our types.
func jsonFault(err error) *protocol.Error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return protocol.Errorf(protocol.BadMessage, "decode JSON: %q is %s; expected %s", keyPath(kind.Field), article(kind.Value), expected(kind))
	case errors.As(err, &kind):
		return protocol.Errorf(protocol.BadMessage, "decode JSON: expected %s, got %s", expected(kind), article(kind.Value))
	case errors.As(err, &syntax):
		return protocol.Errorf(protocol.BadMessage, "decode JSON: %s, at byte %d", syntax, syntax.Offset)
	}
	return protocol.Errorf(protocol.BadMessage, "decode JSON: %v", err)
}

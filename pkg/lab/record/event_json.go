package record

import (
	"bytes"
	"encoding/json"
	"reflect"
)

// JSON has text alone, and replaces what is none. Names and subjects that strangers send
// may be any bytes, and what the core says of them shows which; so an event with such a
// string has the bytes of all its strings written as the runes of the same numbers.

// EncodeEvent writes an event of any core as JSON. If runes, each rune of its strings is a byte.
func EncodeEvent(event any) (written []byte, runes bool, err error) {
	if written, err = json.Marshal(event); err != nil || textAlone(written) {
		return written, false, err
	}
	written, err = json.Marshal(withStrings(reflect.ValueOf(event), toRunes).Interface())
	return written, true, err
}

// DecodeEvent reads what EncodeEvent wrote into the event behind a pointer.
func DecodeEvent(written []byte, runes bool, event reflect.Value) error {
	err := json.Unmarshal(written, event.Interface())
	if err == nil && runes {
		event.Elem().Set(withStrings(event.Elem(), fromRunes))
	}
	return err
}

// textAlone reports whether JSON holds the strings that went into it as they were.
func textAlone(written []byte) bool { return !bytes.Contains(written, []byte(`\ufffd`)) }

func toRunes(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

func fromRunes(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// withStrings is a copy of a value with other strings in it; what JSON leaves out of it
// is the same. Events have no maps.
func withStrings(v reflect.Value, other func(string) string) reflect.Value {
	made := reflect.New(v.Type()).Elem()
	made.Set(v)
	switch v.Kind() {
	case reflect.String:
		made.SetString(other(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			made.Set(reflect.New(v.Type().Elem()))
			made.Elem().Set(withStrings(v.Elem(), other))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				made.Field(i).Set(withStrings(v.Field(i), other))
			}
		}
	case reflect.Slice:
		if !v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8 {
			made.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				made.Index(i).Set(withStrings(v.Index(i), other))
			}
		}
	}
	return made
}

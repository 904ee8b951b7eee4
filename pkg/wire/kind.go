package wire

import (
	"reflect"
	"strings"
)

// goKind names a type of ours by what JSON calls it.
func goKind(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number in range"
}

// keysOf returns the keys of a struct with json tags.
func keysOf(into any) (keys []string) {
	of := reflect.TypeOf(into)
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return nil
	}
	for i := range of.NumField() {
		if name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			keys = append(keys, name)
		}
	}
	return keys
}

// article puts an article before the library's word for a value of JSON, if it is a word.
func article(value string) string {
	value = strings.TrimSpace(value)
	if number, is := strings.CutPrefix(value, "number "); is {
		return number
	}
	switch {
	case strings.HasPrefix(value, "bool"):
		return "true or false"
	case strings.HasPrefix(value, "array"), strings.HasPrefix(value, "object"):
		return "an " + value
	}
	return "a " + value
}

package replay

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"clockwork/pkg/lab/policies"
)

// Set sets a field of a core's configuration by its name, in any case and with
// or without dashes: "max-batch", "MaxBatch", "estimate.window". Durations are
// like 5ms, lists like early,edf.
func Set(config *policies.Config, key, value string) error {
	for _, f := range fields(reflect.ValueOf(config).Elem(), "") {
		if plain(f.name) != plain(key) {
			continue
		}
		if err := f.set(value); err != nil {
			return fmt.Errorf("set %s: %w", f.name, err)
		}
		return nil
	}
	return fmt.Errorf("set %s: no field is called so (%s)", key, strings.Join(Keys(), ", "))
}

// Keys are the names that Set knows.
func Keys() []string {
	var names []string
	for _, f := range fields(reflect.ValueOf(&policies.Config{}).Elem(), "") {
		names = append(names, f.name)
	}
	return names
}

func plain(s string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", ".", "").Replace(s))
}

// field is a number or a duration of a configuration.
type field struct {
	name string
	of   reflect.Value
}

func fields(v reflect.Value, prefix string) []field {
	var list []field
	for i := range v.NumField() {
		of := v.Type().Field(i)
		name := prefix + dashed(of.Name)
		switch {
		case of.Anonymous:
			list = append(list, fields(v.Field(i), prefix)...)
		case v.Field(i).Kind() == reflect.Struct:
			list = append(list, fields(v.Field(i), name+".")...)
		default:
			list = append(list, field{name, v.Field(i)})
		}
	}
	return list
}

// dashed makes max-batch of MaxBatch, and default-slo of DefaultSLO.
func dashed(name string) string {
	var b strings.Builder
	upper := true // the letter before
	for _, c := range name {
		is := c >= 'A' && c <= 'Z'
		if is && !upper {
			b.WriteByte('-')
		}
		upper = is
		b.WriteRune(c)
	}
	return strings.ToLower(b.String())
}

func (f field) set(value string) error {
	if f.of.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("%q is no duration, such as 5ms", value)
		}
		f.of.SetInt(int64(d))
		return nil
	}
	switch f.of.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		f.of.SetBool(b)
		return nil
	case reflect.Float64:
		x, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%q is no number", value)
		}
		f.of.SetFloat(x)
		return nil
	case reflect.Int:
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("%q is no whole number", value)
		}
		f.of.SetInt(int64(n))
		return nil
	}
	if list, ok := f.of.Addr().Interface().(*[]string); ok {
		*list = strings.Split(value, ",")
		return nil
	}
	return fmt.Errorf("it cannot be set to %q here", value)
}

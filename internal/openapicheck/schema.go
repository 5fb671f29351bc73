package openapicheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

// keywords are those that check knows, and those that only explain.
var keywords = []string{
	"$ref", "type", "const", "enum", "oneOf", "properties", "required", "additionalProperties", "items",
	"minimum", "maximum", "minLength", "maxLength", "pattern", "format", "description", "default",
}

// knows fails on a keyword that check would leave unheeded, on an object that allows any field,
// and on a required field that is not described.
func (d *Document) knows(place string, schema map[string]any) error {
	for word := range schema {
		if !slices.Contains(keywords, word) {
			return fmt.Errorf("%s: unknown keyword %s", place, word)
		}
	}
	if _, _, err := d.resolve(place, schema); err != nil {
		return err
	}
	if schema["type"] == "object" && schema["additionalProperties"] == nil {
		return fmt.Errorf("%s: say additionalProperties", place)
	}
	properties := object(schema["properties"])
	for _, name := range array(schema["required"]) {
		if properties[name.(string)] == nil {
			return fmt.Errorf("%s: requires %s and does not describe it", place, name)
		}
	}
	for below, inner := range inside(place, schema) {
		if err := d.knows(below, inner); err != nil {
			return err
		}
	}
	return nil
}

// inside are the schemas within one, by their place.
func inside(place string, schema map[string]any) map[string]map[string]any {
	found := map[string]map[string]any{}
	for name, property := range object(schema["properties"]) {
		found[place+"/"+name] = object(property)
	}
	if items := object(schema["items"]); items != nil {
		found[place+"[]"] = items
	}
	if more := object(schema["additionalProperties"]); more != nil {
		found[place+"/*"] = more
	}
	for i, one := range array(schema["oneOf"]) {
		found[fmt.Sprint(place, "|", i)] = object(one)
	}
	return found
}

// fields collects the places of all fields of a schema, without those behind references.
func (d *Document) fields(place string, schema map[string]any, to map[string]bool) {
	for name := range object(schema["properties"]) {
		to[place+"/"+name] = true
	}
	for below, inner := range inside(place, schema) {
		d.fields(below, inner, to)
	}
}

// check holds a value to a schema, and notes the places of the fields that it has.
func (d *Document) check(place string, schema map[string]any, value any, notes map[string]bool) error {
	place, schema, err := d.resolve(place, schema)
	if err != nil {
		return err
	}
	if one := array(schema["oneOf"]); one != nil {
		return d.checkOneOf(place, one, value, notes)
	}
	if err := checkType(schema["type"], value); err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	if err := checkValue(schema, value); err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	switch value := value.(type) {
	case map[string]any:
		return d.checkObject(place, schema, value, notes)
	case []any:
		for _, item := range value {
			if err := d.check(place+"[]", object(schema["items"]), item, notes); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Document) checkOneOf(place string, one []any, value any, notes map[string]bool) error {
	fits, errs := 0, []error{fmt.Errorf("%s: want one form", place)}
	for i, schema := range one {
		inner := map[string]bool{}
		if err := d.check(fmt.Sprint(place, "|", i), object(schema), value, inner); err != nil {
			errs = append(errs, err)
			continue
		}
		fits++
		maps.Copy(notes, inner)
	}
	if fits != 1 {
		return errors.Join(errs...)
	}
	return nil
}

func (d *Document) checkObject(place string, schema, value map[string]any, notes map[string]bool) error {
	for _, name := range array(schema["required"]) {
		if _, ok := value[name.(string)]; !ok {
			return fmt.Errorf("%s: the answer has no %s", place, name)
		}
	}
	properties := object(schema["properties"])
	for name, v := range value {
		below, described := place+"/"+name, object(properties[name])
		if described == nil {
			below, described = place+"/*", object(schema["additionalProperties"])
		}
		if described == nil {
			return fmt.Errorf("%s: the answer has %s, which is not described", place, name)
		}
		notes[below] = true
		if err := d.check(below, described, v, notes); err != nil {
			return err
		}
	}
	return nil
}

// checkType holds a value to a type, or to one of several.
func checkType(want, value any) error {
	types := array(want)
	switch {
	case want == nil:
		return nil
	case types == nil:
		types = []any{want}
	}
	if slices.ContainsFunc(types, func(t any) bool { return hasType(t.(string), value) }) {
		return nil
	}
	return fmt.Errorf("want %v, got %v", types, value)
}

func hasType(name string, value any) bool {
	switch v := value.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case json.Number:
		_, err := v.Int64()
		return name == "number" || name == "integer" && err == nil
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// checkValue holds a value to the keywords that concern it alone.
func checkValue(schema map[string]any, value any) error {
	if want, ok := schema["const"]; ok && fmt.Sprint(want) != fmt.Sprint(value) {
		return fmt.Errorf("want %v, got %v", want, value)
	}
	if enum := array(schema["enum"]); enum != nil {
		if !slices.ContainsFunc(enum, func(word any) bool { return fmt.Sprint(word) == fmt.Sprint(value) }) {
			return fmt.Errorf("want one of %v, got %v", enum, value)
		}
	}
	switch v := value.(type) {
	case json.Number:
		n, _ := v.Float64()
		least, hasLeast := number(schema["minimum"])
		most, hasMost := number(schema["maximum"])
		if hasLeast && n < least || hasMost && n > most {
			return fmt.Errorf("%v is out of bounds", v)
		}
	case string:
		return checkText(schema, v)
	}
	return nil
}

func checkText(schema map[string]any, v string) error {
	least, hasLeast := number(schema["minLength"])
	most, hasMost := number(schema["maxLength"])
	if n := float64(len([]rune(v))); hasLeast && n < least || hasMost && n > most {
		return fmt.Errorf("%q is out of bounds", v)
	}
	if pattern, ok := schema["pattern"].(string); ok {
		if matched, err := regexp.MatchString(pattern, v); err != nil || !matched {
			return fmt.Errorf("want %s, got %q", pattern, v)
		}
	}
	layout := map[any]string{"date-time": time.RFC3339, "date": time.DateOnly}[schema["format"]]
	if layout == "" {
		return nil
	}
	_, err := time.Parse(layout, v)
	return err
}

func number(v any) (float64, bool) {
	n, ok := v.(int)
	return float64(n), ok
}

// Package openapi tests openapi/openapi.yaml with tools of others: that it is an OpenAPI 3.1
// document, and that the TypeScript which is generated from it compiles.
package openapi

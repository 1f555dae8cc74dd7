// The OpenTelemetry Collector's own OTLP receiver, and behind it a file: what it takes is appended, a request a line, in OTLP's JSON.
//
//	otlp CONFIG FILE
//
// CONFIG is the receiver's part of a Collector's configuration, as JSON.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/otel/metric/noop"
	traces "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

// The receiver needs no extension.
type host struct{}

func (host) GetExtensions() map[component.ID]component.Component { return nil }

// A file of lines.
type lines struct {
	sync.Mutex
	*os.File
}

// Returns when the kernel has the line: what is acknowledged outlives this process.
func (to *lines) add(line []byte, err error) error {
	if err != nil {
		return err
	}
	to.Lock()
	defer to.Unlock()
	_, err = to.Write(append(line, '\n'))
	return err
}

func run(config, path string) error {
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	var settings map[string]any
	if err := json.Unmarshal(text, &settings); err != nil {
		return err
	}
	factory := otlpreceiver.NewFactory()
	wanted := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(settings).Unmarshal(&wanted); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	to := &lines{File: file}
	logger, err := zap.NewProduction()
	if err != nil {
		return err
	}
	set := receiver.Settings{
		ID: component.NewID(factory.Type()),
		TelemetrySettings: component.TelemetrySettings{
			Logger: logger, TracerProvider: traces.NewTracerProvider(), MeterProvider: noop.NewMeterProvider(),
			Resource: pcommon.NewResource(),
		},
	}
	takesMetrics, err := consumer.NewMetrics(func(_ context.Context, of pmetric.Metrics) error {
		return to.add((&pmetric.JSONMarshaler{}).MarshalMetrics(of))
	})
	if err != nil {
		return err
	}
	takesLogs, err := consumer.NewLogs(func(_ context.Context, of plog.Logs) error {
		return to.add((&plog.JSONMarshaler{}).MarshalLogs(of))
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	metrics, err := factory.CreateMetrics(ctx, set, wanted, takesMetrics)
	if err != nil {
		return err
	}
	// Both are the same receiver.
	logs, err := factory.CreateLogs(ctx, set, wanted, takesLogs)
	if err != nil {
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	for _, of := range []component.Component{metrics, logs} {
		if err := of.Start(ctx, host{}); err != nil {
			return err
		}
	}
	<-ended
	for _, of := range []component.Component{metrics, logs} {
		if err := of.Shutdown(ctx); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: otlp CONFIG FILE")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

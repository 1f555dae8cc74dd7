-- Better packed, as measured at a sample a second: kernels count CPU time in microseconds or ticks, which GCD finds; where
-- only some bits are noise, T64 by bits leaves the others to be packed; labels repeat beyond what ZSTD(1) looks back.
-- Only the newly written is packed so; merges bring the rest along.

ALTER TABLE container_stats
    MODIFY COLUMN timestamp CODEC(Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN received_at CODEC(Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN interval_ns CODEC(T64('bit'), ZSTD(1)),
    MODIFY COLUMN cpu_usage_percent CODEC(ZSTD(3)),
    MODIFY COLUMN cpu_usage_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN cpu_user_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN cpu_kernel_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN system_cpu_ns CODEC(GCD, Delta, ZSTD(1)),
    MODIFY COLUMN cpu_throttled_ns CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN memory_usage_bytes CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN memory_total_bytes CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN network_rx_bytes CODEC(Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN network_tx_bytes CODEC(Delta, T64('bit'), ZSTD(1)),
    MODIFY COLUMN cpu_usage_delta_ns CODEC(GCD, T64('bit'), ZSTD(1)),
    MODIFY COLUMN cpu_throttled_delta_ns CODEC(GCD, T64('bit'), ZSTD(1)),
    MODIFY COLUMN network_rx_delta_bytes CODEC(T64('bit'), ZSTD(1)),
    MODIFY COLUMN network_tx_delta_bytes CODEC(T64('bit'), ZSTD(1)),
    MODIFY COLUMN block_read_delta_bytes CODEC(GCD, T64, ZSTD(1)),
    MODIFY COLUMN block_write_delta_bytes CODEC(GCD, T64, ZSTD(1)),
    MODIFY COLUMN labels CODEC(ZSTD(3));

//! Published models in small: the values below were read with the Python `safetensors` package.

use std::path::PathBuf;

use depthscale_checkpoint::{Checkpoint, StoredDtype, first_non_finite};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

#[test]
fn huginn_weights_are_those_that_python_reads() {
    let checkpoint = Checkpoint::open(&fixtures().join("huginn-111")).unwrap();
    assert_eq!(checkpoint.names().count(), 31);
    assert_eq!(checkpoint.total_bytes(), 149_120);

    let head = checkpoint.read_f32("lm_head.weight", &[61, 32]).unwrap();
    let bits: Vec<u32> = head[..4].iter().map(|v| v.to_bits()).collect();
    assert_eq!(bits, [0x3d8d_ecab, 0x3c54_7588, 0xba4f_4f08, 0xbc1a_fab9]);

    // [3 * d_model, d_model]: the rows of the keys are the second third.
    let wqkv = "transformer.coda.0.attn.Wqkv.weight";
    let keys = checkpoint.read_rows_f32(wqkv, &[96, 32], 32..64).unwrap();
    assert_eq!(keys.len(), 32 * 32);
    assert_eq!(keys[..3], [0.022_265_375, -0.109_683_19, -0.163_875_98]);
    assert_eq!(keys[32 * 32 - 1], 0.365_898_5);

    assert_eq!(checkpoint.unused().len(), 29);
}

#[test]
fn integers_of_the_expected_outputs_are_read() {
    let expected = Checkpoint::open_file(&fixtures().join("huginn-111/expected.safetensors")).unwrap();
    let info = expected.info("input_ids").unwrap();
    assert_eq!((info.dtype, info.shape), (StoredDtype::I64, vec![1, 8]));
    assert_eq!(expected.read_i64("input_ids").unwrap(), [50, 47, 2, 48, 45, 46, 54, 34]);
}

#[test]
fn every_fixture_reads_to_the_last_tensor() {
    let mut models = 0;
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let dir = entry.unwrap().path();
        if !dir.join("model.safetensors").exists() {
            continue;
        }
        let checkpoint = Checkpoint::open(&dir).unwrap();
        for name in checkpoint.names() {
            let shape = checkpoint.info(name).unwrap().shape;
            let values = checkpoint.read_f32(name, &shape).unwrap();
            assert_eq!(values.len(), shape.iter().product::<usize>());
            assert_eq!(first_non_finite(&values), None, "{name} in {}", dir.display());
        }
        assert!(checkpoint.unused().is_empty());
        models += 1;
    }
    assert!(models > 0, "no fixture found");
}

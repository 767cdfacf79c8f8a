//! Every operator and activation in int8, by the scales that are chosen here.

use crate::bar::Bar;
use graft_patches::records::Op;
use graft_runtime::Backbone;

use super::{Images, Method, QuantizeError, Settings, backbone};

fn images(float: &Backbone) -> Images {
    let mut random = graft_tests::Random(9);
    let length = float.image().input().shape.len();
    let mut image = || {
        let values = random.values(length, 127.0).into_iter();
        values.map(|value| (value + 128.0) as u8).collect()
    };
    Images::new((0..12).map(|_| image()).collect()).expect("there are some")
}

#[test]
fn every_operator_is_close_to_f32_by_every_method() {
    let float = graft_tests::backbone(24, 1);
    let images = images(&float);
    for method in [Method::MinMax, Method::Percentile(99.99), Method::Mse] {
        for keep_means in [false, true] {
            let settings = Settings { method, keep_means };
            let found = backbone(&float, &images, settings, &Bar::hidden());
            let found = found.expect("it can be quantised");
            let worst = found
                .signal_to_noise
                .iter()
                .copied()
                .fold(f32::MAX, f32::min);
            assert!(
                worst > 12.0,
                "{method}, {keep_means}: {:?}",
                found.signal_to_noise
            );
        }
    }
}

#[test]
fn a_maximum_keeps_its_operands_scale_and_a_curve_has_two() {
    let float = graft_tests::backbone(24, 1);
    let settings = Settings {
        method: Method::default(),
        keep_means: true,
    };
    let found = backbone(&float, &images(&float), settings, &Bar::hidden());
    let int8 = Backbone::from_bytes(&found.expect("it can be quantised").bytes);
    let int8 = int8.expect("it is valid");
    let image = int8.image();
    let scale = |tensor: usize| image.scales()[tensor].get();
    let mut seen = [0; 2];
    for index in 0..image.layer_count() {
        let layer = image.layer(index);
        if layer.op == Op::MaxPool {
            assert_eq!(scale(index + 1).outer, scale(layer.inputs[0]).outer);
            seen[0] += 1;
        }
        let is_same = scale(index + 1).inner == scale(index + 1).outer;
        assert_eq!(is_same, !layer.activation.is_curve(), "layer {index}");
        seen[1] += usize::from(!is_same);
    }
    assert_eq!(seen, [1, 3]);
}

#[test]
fn an_int8_backbone_is_not_quantised_again() {
    let float = graft_tests::backbone(24, 1);
    let int8 = Backbone::from_bytes(&graft_tests::int8::backbone(&float)).expect("it is valid");
    let settings = Settings {
        method: Method::MinMax,
        keep_means: true,
    };
    let error = backbone(&int8, &images(&float), settings, &Bar::hidden());
    assert!(matches!(error, Err(QuantizeError::Dtype { .. })));
}

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Writes what the parser reads.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    len: usize,
}

impl Writer {
    fn put(&mut self, count: u32, value: u32) {
        for bit in (0..count).rev() {
            if self.len.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = (value >> bit & 1) as u8;
            *self.bytes.last_mut().unwrap() |= bit << (7 - self.len % 8);
            self.len += 1;
        }
    }

    fn non_symmetric(&mut self, count: u32, value: u32) {
        let width = count.ilog2() + 1;
        let short = (1 << width) - count;
        if value < short {
            self.put(width - 1, value);
        } else {
            self.put(width, value + short);
        }
    }

    fn indications(&mut self, indications: u64, targets: u8) {
        for target in 0..u32::from(targets) {
            self.put(2, (indications >> (2 * target) & 3) as u32);
        }
    }

    fn structure(&mut self, structure: &Structure) {
        let templates = &structure.templates;
        self.put(6, u32::from(structure.template_id_offset));
        self.put(5, u32::from(structure.decode_targets) - 1);
        for (index, template) in templates.iter().enumerate() {
            let idc = match templates.get(index + 1) {
                None => 3,
                Some(next) if next.spatial > template.spatial => 2,
                Some(next) => u32::from(next.temporal > template.temporal),
            };
            self.put(2, idc);
        }
        for template in templates {
            self.indications(template.indications, structure.decode_targets);
        }
        for template in templates {
            for reference in template.references() {
                self.put(1, 1);
                self.put(4, u32::from(*reference) - 1);
            }
            self.put(1, 0);
        }
        let targets = u32::from(structure.decode_targets);
        self.non_symmetric(targets + 1, u32::from(structure.chains));
        if structure.chains > 0 {
            for target in 0..targets as usize {
                let chain = u32::from(structure.protected_by[target]);
                self.non_symmetric(u32::from(structure.chains), chain);
            }
            for template in templates {
                for chain in 0..structure.chains {
                    self.put(4, u32::from(template.chain(chain)));
                }
            }
        }
        self.put(1, u32::from(!structure.resolutions.is_empty()));
        for (width, height) in &structure.resolutions {
            self.put(16, width - 1);
            self.put(16, height - 1);
        }
    }
}

/// A value of the extension. `custom` frames write out what the template would have said.
fn write(descriptor: &Descriptor, template: u8, known: &Structure, custom: bool) -> Vec<u8> {
    let mut writer = Writer::default();
    let Descriptor { frame, .. } = descriptor;
    writer.put(1, descriptor.starts_frame.into());
    writer.put(1, descriptor.ends_frame.into());
    let id = template.wrapping_add(known.template_id_offset) & 63;
    writer.put(6, id.into());
    writer.put(16, descriptor.frame_number.into());
    let active = descriptor
        .active_decode_targets
        .filter(|_| descriptor.structure.is_none());
    if descriptor.structure.is_none() && active.is_none() && !custom {
        return writer.bytes;
    }
    writer.put(1, descriptor.structure.is_some().into());
    writer.put(1, active.is_some().into());
    writer.put(3, if custom { 7 } else { 0 });
    if let Some(structure) = &descriptor.structure {
        writer.structure(structure);
    }
    if let Some(active) = active {
        writer.put(known.decode_targets.into(), active);
    }
    if custom {
        writer.indications(frame.indications, known.decode_targets);
        for reference in frame.references() {
            let reference = u32::from(*reference) - 1;
            let size = (32 - reference.leading_zeros()).div_ceil(4).max(1);
            writer.put(2, size);
            writer.put(4 * size, reference);
        }
        writer.put(2, 0);
        for chain in 0..known.chains {
            writer.put(8, frame.chain(chain).into());
        }
    }
    writer.bytes
}

fn template(spatial: u8, temporal: u8, indications: &[u8], references: &[u16]) -> Template {
    let mut template = Template {
        spatial,
        temporal,
        ..Template::default()
    };
    for (target, indication) in indications.iter().enumerate() {
        template.indications |= u64::from(*indication) << (2 * target);
    }
    for reference in references {
        template.push_reference(*reference).unwrap();
    }
    template
}

/// A picture in so many sizes, each made of the one below; every one of its own decode target.
pub(crate) fn spatial_structure(layers: u8, size: (u32, u32)) -> Structure {
    let mut templates = Vec::new();
    for spatial in 0..layers {
        let targets: Vec<u8> = (0..layers)
            .map(|target| 3 * u8::from(target >= spatial))
            .collect();
        let below: &[u16] = if spatial == 0 { &[] } else { &[1] };
        templates.push(template(spatial, 0, &targets, below));
        let before = u16::from(layers);
        let references: Vec<u16> = below.iter().copied().chain([before]).collect();
        templates.push(template(spatial, 0, &targets, &references));
    }
    let scale = |spatial: u8| 1u32 << (layers - 1 - spatial);
    let resolution = |spatial| (size.0 / scale(spatial), size.1 / scale(spatial));
    Structure {
        template_id_offset: 60,
        templates,
        decode_targets: layers,
        resolutions: (0..layers).map(resolution).collect(),
        ..Structure::default()
    }
}

/// The descriptor of a packet of such a stream: the first frame of each layer is a keyframe's.
pub(crate) fn spatial_frame(
    structure: &Structure,
    (spatial, keyframe): (u8, bool),
    frame_number: u16,
    (starts_frame, ends_frame): (bool, bool),
) -> Vec<u8> {
    let template = 2 * spatial + u8::from(!keyframe);
    let brings = keyframe && spatial == 0 && starts_frame;
    frame_of(
        structure,
        (template, brings),
        frame_number,
        (starts_frame, ends_frame),
    )
}

/// The descriptor of a packet of a frame that is as its template says, and brings the structure or not.
fn frame_of(
    structure: &Structure,
    (template, brings): (u8, bool),
    frame_number: u16,
    (starts_frame, ends_frame): (bool, bool),
) -> Vec<u8> {
    let descriptor = Descriptor {
        starts_frame,
        ends_frame,
        frame_number,
        frame: structure.templates[usize::from(template)].clone(),
        active_decode_targets: None,
        structure: brings.then(|| Box::new(structure.clone())),
    };
    write(&descriptor, template, structure, false)
}

/// A picture in one size with three temporal layers, and a frame of the lowest one behind which the higher ones may still
/// refer to what was before it.
pub(crate) fn temporal_structure() -> Structure {
    let templates = vec![
        template(0, 0, &[2, 2, 2], &[]),
        template(0, 0, &[2, 2, 2], &[4]),
        template(0, 0, &[2, 3, 3], &[4]),
        template(0, 1, &[0, 2, 3], &[2]),
        template(0, 2, &[0, 0, 1], &[1]),
    ];
    Structure {
        template_id_offset: 3,
        templates,
        decode_targets: 3,
        ..Structure::default()
    }
}

/// The descriptor of a packet of such a stream.
pub(crate) fn temporal_frame(
    structure: &Structure,
    (temporal, keyframe, leads_up): (u8, bool, bool),
    frame_number: u16,
    (starts_frame, ends_frame): (bool, bool),
) -> Vec<u8> {
    let template = match (temporal, keyframe, leads_up) {
        (0, true, _) => 0,
        (0, false, true) => 1,
        (0, false, false) => 2,
        (temporal, ..) => 2 + temporal,
    };
    let brings = keyframe && starts_frame;
    frame_of(
        structure,
        (template, brings),
        frame_number,
        (starts_frame, ends_frame),
    )
}

#[test]
fn frames_that_lead_to_higher_temporal_layers_are_told_from_others() {
    let known = temporal_structure();
    let leads = known
        .templates
        .iter()
        .map(|frame| known.is_switching_point(frame));
    assert!(leads.eq([true, true, false, false, false]));
    assert_eq!((known.temporal_layers(), known.spatial_layers()), (3, 1));
    let spatial = spatial_structure(3, (640, 360));
    assert!(spatial.temporal_layers() == 1);
}

#[test]
fn a_structure_is_kept_for_the_frames_after_it() {
    let structure = spatial_structure(3, (1280, 720));
    let first = spatial_frame(&structure, (0, true), 7, (true, false));
    let read = Descriptor::read(&first, None).unwrap();
    let known = read.structure.unwrap();
    assert_eq!(*known, structure);
    assert_eq!(known.spatial_layers(), 3);
    assert_eq!(known.resolution(0), Some((320, 180)));
    assert_eq!(known.resolution(2), Some((1280, 720)));
    assert_eq!((known.resolution(3), known.protected_by(0)), (None, None));
    assert_eq!(read.active_decode_targets, Some(0b111));
    assert!(read.starts_frame && !read.ends_frame);

    let later = spatial_frame(&structure, (1, false), 0xFFFF, (false, true));
    assert_eq!(later.len(), 3);
    assert_eq!(Descriptor::read(&later, None), Err(Error::UnknownTemplate));
    let read = Descriptor::read(&later, Some(&known)).unwrap();
    assert_eq!((read.frame.spatial, read.frame_number), (1, 0xFFFF));
    assert_eq!(read.frame.references(), [1, 3]);
    assert_eq!(read.frame.indication(0), Indication::NotPresent);
    assert_eq!(read.frame.indication(2), Indication::Required);
}

#[test]
fn what_is_beyond_the_format_is_refused() {
    // A structure whose templates never end, and one whose temporal layers go beyond 7.
    for next in [0b0000_0000, 0b0101_0101] {
        let mut value = vec![0, 0, 0, 0b1000_0000, 0];
        value.extend([next; 60]);
        assert_eq!(Descriptor::read(&value, None), Err(Error::Excess));
    }
    assert_eq!(Descriptor::read(&[0x80, 0], None), Err(Error::Truncated));
}

fn structures() -> impl Strategy<Value = Structure> {
    let steps = vec(0..3u8, 0..20);
    let counts = (1..=32u8).prop_flat_map(|targets| (Just(targets), 0..=targets));
    let noise = (
        any::<u64>(),
        vec(any::<u8>(), 32),
        vec(vec(1..=16u16, 0..4), 64),
    );
    (steps, counts, 0..64u8, any::<bool>(), noise).prop_map(
        |(steps, (decode_targets, chains), template_id_offset, has_sizes, noise)| {
            let (bits, bytes, references) = noise;
            let mut layer = (0, 0);
            let mut layers = vec![layer];
            for step in steps {
                match step {
                    1 if layer.1 < MAX_TEMPORAL => layer.1 += 1,
                    2 if layer.0 < MAX_SPATIAL => layer = (layer.0 + 1, 0),
                    _ => {}
                }
                layers.push(layer);
            }
            let mask = u64::MAX >> (64 - 2 * u32::from(decode_targets));
            let make = |(index, (spatial, temporal)): (usize, &(u8, u8))| {
                let mut made = template(*spatial, *temporal, &[], &references[index]);
                made.indications = bits.rotate_left(index as u32) & mask;
                let mut made_of = bytes.iter().take(usize::from(chains));
                made.chains.fill_with(|| {
                    let byte = made_of.next();
                    byte.map_or(0, |byte| byte.wrapping_add(index as u8) & 15)
                });
                made
            };
            let mut structure = Structure {
                template_id_offset,
                templates: layers.iter().enumerate().map(make).collect(),
                decode_targets,
                chains,
                ..Structure::default()
            };
            if chains > 0 {
                let mut protecting = bytes.iter().take(usize::from(decode_targets));
                let chain = || protecting.next().map_or(0, |byte| byte % chains);
                structure.protected_by.fill_with(chain);
            }
            if has_sizes {
                let size = |spatial| (1 + u32::from(spatial), 65_536);
                structure.resolutions = (0..structure.spatial_layers()).map(size).collect();
            }
            structure
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        structure in structures(),
        at: prop::sample::Index,
        frame_number: u16,
        flags: [bool; 4],
        references in vec(1..=4096u16, 0..MAX_REFERENCES),
        active: u32,
    ) {
        let [starts_frame, ends_frame, brings, custom] = flags;
        let index = at.index(structure.templates.len());
        let mut frame = structure.templates[index].clone();
        let all = u32::MAX >> (32 - structure.decode_targets);
        if custom {
            frame.reference_count = 0;
            references.iter().for_each(|reference| frame.push_reference(*reference).unwrap());
            frame.indications = !frame.indications & (u64::MAX >> (64 - 2 * u32::from(structure.decode_targets)));
            frame.chains[..usize::from(structure.chains)].fill(active as u8);
        }
        let descriptor = Descriptor {
            starts_frame,
            ends_frame,
            frame_number,
            frame,
            active_decode_targets: Some(if brings { all } else { active & all }),
            structure: brings.then(|| Box::new(structure.clone())),
        };
        let value = write(&descriptor, index as u8, &structure, custom);
        let known = (!brings).then_some(&structure);
        prop_assert_eq!(super::frame_number(&value), Some(frame_number));
        let mut shifted = value.clone();
        shift_frame_number(&mut shifted, active as u16);
        let expected = Descriptor {
            frame_number: frame_number.wrapping_add(active as u16),
            ..descriptor.clone()
        };
        prop_assert_eq!(Descriptor::read(&shifted, known), Ok(expected));
        prop_assert_eq!(Descriptor::read(&value, known), Ok(descriptor));
        for end in 0..value.len() - 1 {
            let _ = Descriptor::read(&value[..end], known);
        }
    }

    #[test]
    fn any_value_is_survived(value in vec(any::<u8>(), 0..96), structure in structures()) {
        let _ = Descriptor::read(&value, Some(&structure));
        shift_frame_number(&mut value.clone(), 1);
        if let Ok(read) = Descriptor::read(&value, None) {
            prop_assert!(read.structure.is_some());
        }
    }
}

//! Names of axes: what h5py, xarray, netCDF and MATLAB show in the place of dim_0.
//!
//! HDF5's dimension scales, by their specification (HDF5 Dimension Scale Specification 1.0): a scale is a dataset that says so of itself, and every dataset
//! points to those of its axes. They stand in the group of what they label, as groups may be called what axes are. libhdf5's own functions for it are in a
//! library beside, which a build without system libraries does not have.

use super::axes::{indices, Axes, Names, Ticks};
use super::{array, fixed};
use crate::analysis::outputs_of;
use hdf5::types::{CompoundField, CompoundType, Reference, TypeDescriptor, VarLenArray};
use hdf5::{Group, H5Type, ObjectReference1};

/// Who uses a scale: a dataset, for one of its axes.
#[derive(Clone, Copy)]
#[repr(C)]
struct User {
    dataset: ObjectReference1,
    dimension: i32,
}

// SAFETY: the fields are where the descriptor says, and the size is the struct's.
unsafe impl H5Type for User {
    fn type_descriptor() -> TypeDescriptor {
        let dataset = CompoundField::new("dataset", TypeDescriptor::Reference(Reference::Object), 0, 0);
        let dimension = CompoundField::typed::<i32>("dimension", std::mem::offset_of!(User, dimension), 1);
        TypeDescriptor::Compound(CompoundType { fields: vec![dataset, dimension], size: std::mem::size_of::<User>() })
    }
}

/// The attribute of a dataset that has the scales of its axes, and that of a scale that has who uses it.
const LIST: &str = "DIMENSION_LIST";
const USERS: &str = "REFERENCE_LIST";

/// The scales of a group.
struct Scales<'g> {
    group: &'g Group,
    made: Vec<Scale>,
}

struct Scale {
    name: String,
    users: Vec<User>,
}

impl<'g> Scales<'g> {
    /// Those that are there.
    fn of(group: &'g Group) -> hdf5::Result<Self> {
        let mut made = Vec::new();
        for set in group.datasets()?.iter().filter(|set| set.attr("CLASS").is_ok()) {
            let name = set.name().rsplit('/').next().unwrap_or_default().to_string();
            let users = set.attr(USERS).and_then(|a| a.read_raw()).unwrap_or_default();
            made.push(Scale { name, users });
        }
        Ok(Self { group, made })
    }

    /// Makes a dataset that is there a scale.
    fn make(&mut self, name: &str) -> hdf5::Result<()> {
        let set = self.group.dataset(name)?;
        fixed::attribute(&set, "CLASS", "DIMENSION_SCALE")?;
        fixed::attribute(&set, "NAME", name)?;
        self.made.push(Scale { name: name.into(), users: Vec::new() });
        Ok(())
    }

    /// The number of a scale of this name; made where there is none.
    fn find(&mut self, (name, length, ticks): &(String, usize, Ticks)) -> hdf5::Result<usize> {
        if let Some(i) = self.made.iter().position(|s| s.name == *name) {
            return Ok(i);
        }
        match ticks {
            Ticks::Numbers(numbers) => array(self.group, name, &[*length], numbers.clone())?,
            Ticks::Words(words) => fixed::dataset(self.group, name, words)?,
            Ticks::Itself => {}
        }
        self.make(name)?;
        Ok(self.made.len() - 1)
    }

    /// Names the axes of a dataset.
    fn attach(&mut self, dataset: &str, axes: &[&(String, usize, Ticks)]) -> hdf5::Result<()> {
        let this: ObjectReference1 = self.group.reference(dataset)?;
        let mut list = Vec::new();
        for (dimension, scale) in axes.iter().enumerate() {
            let at = self.find(scale)?;
            let scale = &mut self.made[at];
            scale.users.push(User { dataset: this, dimension: dimension as i32 });
            list.push(VarLenArray::from_slice(&[self.group.reference::<ObjectReference1>(&scale.name)?]));
        }
        match list.is_empty() {
            true => Ok(()),
            false => self.group.dataset(dataset)?.new_attr_builder().with_data(&list).create(LIST).map(drop),
        }
    }

    /// Writes down who uses which scale.
    fn finish(self) -> hdf5::Result<()> {
        for Scale { name, users, .. } in self.made.into_iter().filter(|s| !s.users.is_empty()) {
            let set = self.group.dataset(&name)?;
            if set.attr(USERS).is_ok() {
                set.delete_attr(USERS)?;
            }
            set.new_attr_builder().with_data(&users).create(USERS)?;
        }
        Ok(())
    }
}

/// Labels what is there of an analysis: names of axes, what each is counted by, units and meanings, and the number of the stage.
pub(super) fn analysis(group: &Group, axes: &Axes<'_>, stage: Option<i64>) -> hdf5::Result<()> {
    let mut there = Vec::new();
    for output in outputs_of(axes.quantity).into_iter().filter(|o| group.link_exists(o.name)) {
        let set = group.dataset(output.name)?;
        fixed::attribute(&set, "long_name", output.meaning)?;
        if !output.unit.is_empty() {
            fixed::attribute(&set, "units", output.unit)?;
        }
        there.push((output, set.shape()));
    }
    let (names, mut scales) = (axes.names(&there), Scales::of(group)?);
    for scale in &names.scales {
        scales.find(scale)?;
    }
    for (dataset, axes) in &names.datasets {
        scales.attach(dataset, &axes.iter().map(|&i| &names.scales[i]).collect::<Vec<_>>())?;
    }
    let mut coordinates = Vec::new();
    for (name, scale, numbers) in names.beside {
        array(group, name, &[numbers.len()], numbers)?;
        scales.attach(name, &[&names.scales[scale]])?;
        coordinates.push(name);
    }
    if let Some(stage) = stage {
        group.new_dataset::<i64>().create(STAGE)?.write_scalar(&stage)?;
        coordinates.push(STAGE);
    }
    if !coordinates.is_empty() {
        fixed::attribute(group, "coordinates", &coordinates.join(" "))?;
    }
    scales.finish()
}

/// The dataset of an analysis that has the number of the stage.
const STAGE: &str = "stage";

/// Writes the number of the stage to analyses that have one.
pub(super) fn stage(analyses: &Group, number: i64) -> hdf5::Result<()> {
    for name in analyses.member_names()? {
        let path = format!("{name}/{STAGE}");
        if analyses.link_exists(&path) {
            analyses.dataset(&path)?.write_scalar(&number)?;
        }
    }
    Ok(())
}

/// Labels what is there of the state, and not labelled yet.
pub(super) fn state(group: &Group) -> hdf5::Result<()> {
    const FIELDS: [&str; 4] = ["offset", "stride", "positions", "width"];
    let mut scales = Scales::of(group)?;
    let mut names = Names::default();
    names.scales.push(("variables".into(), group.dataset("variables")?.size(), Ticks::Itself));
    let ticks = |name: &str, length: usize| match name {
        "field" => Ticks::Words(FIELDS.map(String::from).to_vec()),
        _ => indices(length),
    };
    let all: [(&str, &[&str]); 3] = [
        ("layout", &["variables", "field"]),
        ("lengths", &["trajectory"]),
        ("values", &["trajectory", "time", "unit"]),
    ];
    for (name, axes) in all {
        if group.link_exists(name) && group.dataset(name)?.attr(LIST).is_err() {
            let lengths = group.dataset(name)?.shape();
            let one = |(axis, n): (&&str, usize)| names.find(axis, n, &[], || ticks(axis, n));
            let numbers: Vec<usize> = axes.iter().zip(lengths).map(one).collect();
            scales.attach(name, &numbers.iter().map(|&i| &names.scales[i]).collect::<Vec<_>>())?;
        }
    }
    scales.finish()
}
